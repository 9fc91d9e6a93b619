"""What goes into the spool: windows, samples, acks, audit entries and heartbeats, as records."""

import math

from edge_gateway.health import Usage, model_health
from edge_gateway.installation import SLOTS, Installation, Said
from edge_gateway.sampling import Kept, prediction_id
from edge_gateway.scorer import Closed, Loaded
from edge_gateway.spool import Depth, Lane, Write
from schemas.fleet import Heartbeat, Slot, SlotState
from schemas.operators import AuditEntry
from schemas.rollouts import Ack, AckPhase
from schemas.sample import Sample
from sensing.sketch import feature_stats

__all__ = ["Reporter"]

# Phases that somebody may ask about in a year.
_AUDITED = {AckPhase.SUCCEEDED, AckPhase.FAILED, AckPhase.FELL_BACK, AckPhase.REFUSED}


class Reporter:
    """Writes records of one device into a transaction of its spool."""

    def __init__(self, device_id: str, labels: dict[str, str], agent_version: str, pipelines: tuple[str, ...]) -> None:
        self._device_id = device_id
        self._labels = labels
        self._version = agent_version
        self._pipelines = pipelines

    def window(
        self, write: Write, closed: Closed, loaded: Loaded, *, boot_id: str, usage: Usage, trial: bool, now_ms: int
    ) -> None:
        """One window: what was seen (unless the model only ran beside another), and how the model fared."""
        for summed in closed.stats:
            stats = feature_stats(
                summed.window,
                device_id=self._device_id,
                model_id=loaded.model_id,
                pipeline=loaded.pipeline.id,
                grid_id=loaded.grid.grid_id,
                boot_id=boot_id,
                seq=write.next_number("windows"),
                windows=summed.windows,
            )
            write.put(Lane.WINDOWS, "telemetry.feature-stats", stats, now_ms)
        if not closed.health.inferences and not closed.health.errors and closed.stats:
            return
        health = model_health(
            closed.health,
            start_ms=closed.start_ms,
            end_ms=closed.end_ms,
            device_id=self._device_id,
            model_id=loaded.model_id,
            boot_id=boot_id,
            seq=write.next_number("health"),
            usage=usage,
            slot=loaded.slot if loaded.model is not None else "",
            trial=trial,
        )
        write.put(Lane.WINDOWS, "telemetry.model-health", health, now_ms)

    def sample(self, write: Write, kept: Kept, loaded: Loaded, now_ms: int) -> None:
        sample = Sample(
            device_id=self._device_id,
            prediction_id=prediction_id(self._device_id, loaded.model_id, kept.stream, kept.at_ms),
            model_id=loaded.model_id,
            pipeline=loaded.pipeline.id,
            at_ms=kept.at_ms,
            features=kept.vector.astype("<f4").tobytes(),
            score=kept.score,
            anomaly=kept.anomaly,
            confidence=kept.confidence,
            because=kept.because,
        )
        write.put(Lane.SAMPLES, "telemetry.samples", sample, now_ms)

    def ack(self, write: Write, said: Said, *, boot_id: str, now_ms: int) -> None:
        ack = Ack(
            device_id=self._device_id,
            revision=said.revision,
            rollout_id=said.rollout_id,
            phase=said.phase,
            model_id=said.model_id,
            reason=said.reason,
            at_ms=now_ms,
            boot_id=boot_id,
            seq=write.next_number("acks"),
        )
        write.put(Lane.CONTROL, "rollouts.acks", ack, now_ms)
        if said.phase in _AUDITED:
            evidence = {"revision": str(said.revision), "rollout": said.rollout_id, "serving": said.model_id}
            self.audit(write, f"command {said.phase.value}", said.reason, evidence, now_ms)

    def audit(self, write: Write, action: str, why: str, evidence: dict[str, str], now_ms: int) -> None:
        entry = AuditEntry(
            subject=f"device/{self._device_id}",
            action=action,
            who=f"gateway {self._device_id}",
            why=why,
            at_ms=now_ms,
            evidence=evidence,
        )
        write.put(Lane.CONTROL, "audit.log", entry, now_ms)

    def heartbeat(
        self,
        write: Write,
        installation: Installation,
        depth: Depth,
        usage: Usage,
        *,
        boot_id: str,
        uptime_s: float,
        disk_free: int,
        now_ms: int,
    ) -> None:
        heartbeat = Heartbeat(
            device_id=self._device_id,
            boot_id=boot_id,
            at_ms=now_ms,
            agent_version=self._version,
            uptime_s=uptime_s,
            model_id=installation.model_id,
            slots=tuple(_slot(installation, name) for name in SLOTS),
            pipelines=self._pipelines,
            labels=self._labels,
            revision=installation.order.revision if installation.order else 0,
            spool_records=depth.records,
            spool_bytes=depth.bytes,
            spool_dropped=depth.dropped,
            cpu_share=usage.cpu_share if math.isfinite(usage.cpu_share) else math.nan,
            memory_bytes=usage.memory_bytes,
            disk_free_bytes=disk_free,
            safe_mode=bool(installation.safe_mode),
        )
        write.put(Lane.HEARTBEATS, "fleet.heartbeats", heartbeat, now_ms)


def _slot(installation: Installation, name: str) -> Slot:
    content = installation.slots[name]
    empty = content.state is SlotState.EMPTY
    return Slot(
        name=name,
        state=content.state,
        model_id="" if empty else content.model_id,
        active=name == installation.active,
    )
