"""Every topic, declared once: creating, checking and documenting them all read this page."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from schemas.dead_letter import DeadLetter
from schemas.drift_alert import DriftAlert
from schemas.drift_checkpoint import DriftCheckpoint
from schemas.drift_scores import CohortPane, DriftScores
from schemas.errors import DriftlineError
from schemas.feature_stats import FeatureStats
from schemas.fleet import Device, Heartbeat
from schemas.grid import Baseline, Grid
from schemas.model_health import ModelHealth
from schemas.operators import AuditCheckpoint, AuditEntry, OperatorRequest
from schemas.policy import Policy, PolicyApplied
from schemas.release import ModelRelease
from schemas.rollouts import Ack, Command, RolloutDevice, RolloutLeader, RolloutPlan, RolloutStatus
from schemas.sample import Label, Sample
from schemas.training import TrainingRequest

__all__ = ["CATALOGUE", "Cleanup", "Placement", "Topic", "UnknownTopicError", "topic_named"]

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
# Kafka's own default, said aloud: a broker set to more would let one stranger's record weigh on every reader.
MAX_MESSAGE_BYTES = 1_048_588


class Cleanup(StrEnum):
    """What Kafka forgets."""

    DELETE = "delete"
    COMPACT = "compact"


class Placement(StrEnum):
    """What a record's partition follows from."""

    # Murmur2 of the key, as Kafka's own clients have it: whoever knows a key knows its partition.
    KEY = "key"
    # The partition that the record was made from: each worker writes where it reads.
    SOURCE = "source"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic: what is on it, how it is keyed, how long it is kept, and who writes it."""

    name: str
    record: type[Any]
    # Fields of the record whose values, joined by "/", are the key.
    key: tuple[str, ...]
    partitions: int
    cleanup: Cleanup
    # None: kept for ever.
    retention_ms: int | None
    writer: str
    about: str
    placement: Placement = Placement.KEY

    def key_of(self, value: Any) -> str:
        """Return the key that a record of this topic must have."""
        if len(self.key) == 1:
            return str(getattr(value, self.key[0]))
        return "/".join([str(getattr(value, field)) for field in self.key])

    def settings(self) -> dict[str, str]:
        """Return the topic's settings as Kafka names them; what depends on the cluster is not among them."""
        return {
            "cleanup.policy": self.cleanup.value,
            "max.message.bytes": str(MAX_MESSAGE_BYTES),
            # Broker time: a device's wrong clock then neither distorts retention nor has its records refused.
            "message.timestamp.type": "LogAppendTime",
            **(_KEPT_BY_KEY if self.cleanup is Cleanup.COMPACT else _kept_for(self.retention_ms)),
        }


class UnknownTopicError(DriftlineError):
    def __init__(self, name: str) -> None:
        super().__init__(f"unknown topic {name!r}; known: {', '.join(sorted(CATALOGUE))}")
        self.name = name


def topic_named(name: str) -> Topic:
    try:
        return CATALOGUE[name]
    except KeyError:
        raise UnknownTopicError(name) from None


_KEPT_BY_KEY = {
    # A segment that is still written is never compacted: close it hourly, and compact what is closed within six hours,
    # or as soon as a tenth of the log is stale, so that a reader who starts reads little more than the present state.
    "segment.ms": str(HOUR_MS),
    "max.compaction.lag.ms": str(6 * HOUR_MS),
    "min.cleanable.dirty.ratio": "0.1",
    # How long a reader may be away and still hear of what was forgotten meanwhile; see schemas/feeds.
    "delete.retention.ms": str(7 * DAY_MS),
}


def _kept_for(retention_ms: int | None) -> dict[str, str]:
    if retention_ms is None:
        return {"retention.ms": "-1", "retention.bytes": "-1"}
    # Only whole segments are removed, by their newest record; without this one, a day's topic would keep a week.
    segment_ms = min(7 * DAY_MS, max(HOUR_MS, retention_ms // 7))
    # A limit of bytes, where a broker has one by default, would cut short what the catalogue promises.
    return {"retention.ms": str(retention_ms), "retention.bytes": "-1", "segment.ms": str(segment_ms)}


# Keyed by device, all of them with the same partition count, so that a device has one partition number everywhere.
_BY_DEVICE = 12
_FEW = 3


def _log(
    name: str,
    record: type[Any],
    key: str,
    days: int | None,
    writer: str,
    about: str,
    partitions: int,
    placement: Placement = Placement.KEY,
) -> Topic:
    return Topic(
        name=name,
        record=record,
        key=tuple(key.split("/")),
        partitions=partitions,
        cleanup=Cleanup.DELETE,
        retention_ms=None if days is None else days * DAY_MS,
        writer=writer,
        about=about,
        placement=placement,
    )


def _state(
    name: str,
    record: type[Any],
    key: str,
    writer: str,
    about: str,
    partitions: int,
    placement: Placement = Placement.KEY,
) -> Topic:
    kept = _log(name, record, key, None, writer, about, partitions, placement)
    return replace(kept, cleanup=Cleanup.COMPACT)


# fmt: off
_TOPICS = (
    _log("telemetry.feature-stats", FeatureStats, "device_id", 7, "gateways", "What devices see, window by window.", _BY_DEVICE),
    _log("telemetry.feature-rollups", FeatureStats, "device_id/window_start_ms/arrival_hour_ms", 60, "drift worker", "The same, merged by the hour.", _BY_DEVICE, Placement.SOURCE),
    _log("telemetry.model-health", ModelHealth, "device_id", 7, "gateways", "How models fare on devices.", _BY_DEVICE),
    _log("telemetry.samples", Sample, "device_id", 30, "gateways", "Single predictions, at a bounded rate.", _BY_DEVICE),
    _log("telemetry.labels", Label, "device_id", 90, "anyone entitled", "What predictions should have been.", _BY_DEVICE),
    _state("models.grids", Grid, "grid_id", "trainer", "How the features of a pipeline are counted.", _FEW),
    _state("models.baselines", Baseline, "baseline_id", "trainer", "What models were trained on.", _FEW),
    _state("models.releases", ModelRelease, "model/version", "trainer", "Models, and how far each may go.", _FEW),
    _log("drift.scores", DriftScores, "device_id", 7, "drift worker", "How far devices are from their reference.", _BY_DEVICE),
    _state("drift.checkpoints", DriftCheckpoint, "partition/slot/part", "drift worker", "What a drift worker goes on from.", _BY_DEVICE, Placement.SOURCE),
    _state("health.checkpoints", DriftCheckpoint, "partition/slot/part", "health worker", "What a health worker goes on from.", _BY_DEVICE, Placement.SOURCE),
    _log("drift.cohort-panes", CohortPane, "cohort", 1, "drift worker", "Shares of cohorts, to be summed.", _FEW),
    _state("drift.alerts", DriftAlert, "alert_id", "drift, health and cohort workers and the controller, each its own ids", "Alerts as they stand.", _BY_DEVICE, Placement.SOURCE),
    _state("drift.policies", Policy, "policy_id", "console, command", "How drift is judged; each signed by whoever may.", _FEW),
    _log("drift.policy-applied", PolicyApplied, "partition", 400, "workers", "Which policy counted from which offset.", 1),
    _log("operators.requests", OperatorRequest, "subject", 400, "console, command", "What people ask for.", _FEW),
    _log("fleet.heartbeats", Heartbeat, "device_id", 1, "gateways", "Who is alive, and how.", _BY_DEVICE),
    _state("fleet.devices", Device, "device_id", "controller", "The devices as they stand.", _BY_DEVICE),
    _state("rollouts.plans", RolloutPlan, "rollout_id", "controller", "What should be brought where.", _FEW),
    _state("rollouts.status", RolloutStatus, "rollout_id", "controller", "Rollouts as they stand.", _FEW),
    _state("rollouts.devices", RolloutDevice, "rollout_id/device_id", "controller", "What each device did in each rollout.", _BY_DEVICE),
    _state("rollouts.leader", RolloutLeader, "role", "controller", "Who is active; its one partition elects.", 1),
    _state("rollouts.commands", Command, "device_id", "controller", "What each device should run.", _BY_DEVICE),
    _log("rollouts.acks", Ack, "device_id", 30, "gateways", "What devices did about commands.", _BY_DEVICE),
    _log("training.requests", TrainingRequest, "request_id", 90, "trainer's desk", "Models to be retrained.", _FEW),
    _log("audit.log", AuditEntry, "subject", 400, "all", "What was decided and done, by whom and why.", _FEW),
    _log("audit.checkpoints", AuditCheckpoint, "partition", None, "auditor", "Signed hashes over the audit log.", 1),
    _log("dead-letters", DeadLetter, "source_topic", 30, "all", "Records that could not be used, and why.", _FEW),
)
# fmt: on

CATALOGUE = {topic.name: topic for topic in _TOPICS}
