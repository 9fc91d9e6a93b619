"""The journal: what is to be written, collected while a controller digests: records, alerts and the audit log."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from schemas.drift_alert import AlertState, DriftAlert
from schemas.operators import AuditEntry
from schemas.rollouts import RolloutStatus
from streams.rollouts import alerts
from streams.rollouts.fleet import Fleet
from streams.rollouts.outbox import Outbox, Write
from streams.rollouts.records import device_of, given_up, status_of
from streams.rollouts.rollout import Rollout

__all__ = ["WHO", "Journal"]

WHO = "rollouts"
# Rows that are forgotten with one digestion: no transaction grows with the fleet.
MOST_FORGOTTEN = 10_000


class Journal:
    """Collects until it is taken; a row or a status that moved often is written once, as it then is."""

    def __init__(self) -> None:
        self.now_ms = 0
        # The controller's own alerts that are not resolved.
        self.alerts: dict[str, DriftAlert] = {}
        self._outbox = Outbox()
        self._rows: dict[tuple[str, str], None] = {}
        self._statuses: dict[str, None] = {}
        # Keys of rows that are over, to be forgotten a part at a time.
        self._bygone: deque[str] = deque()

    def write(self, topic: str, record: Any) -> None:
        self._outbox.write(topic, record)

    def forget(self, topic: str, key: str) -> None:
        self._outbox.forget(topic, key)

    def put_away(self, rollout: Rollout, digested: Mapping[str, int]) -> None:
        """Say for good that a rollout is over, and forget what each device did in it; its status keeps the counts."""
        self._outbox.write("rollouts.status", status_of(rollout, digested, put_away=True))
        self.forget_rows(rollout.plan.rollout_id, rollout.members.published_ids())

    def give_up(self, status: RolloutStatus, why: str) -> None:
        """Say for good that a rollout was ended by nobody's decision."""
        self._outbox.write("rollouts.status", given_up(status, why, self.now_ms))
        self.audit(f"rollout/{status.rollout_id}", "given up", WHO, why, {"was": status.phase.value})

    def forget_rows(self, rollout_id: str, device_ids: Iterable[str]) -> None:
        self._bygone.extend(f"{rollout_id}/{device_id}" for device_id in device_ids)

    def row_moved(self, rollout_id: str, device_id: str) -> None:
        self._rows[rollout_id, device_id] = None

    def status_moved(self, rollout_id: str) -> None:
        self._statuses[rollout_id] = None

    def audit(self, subject: str, action: str, who: str, why: str, evidence: Mapping[str, str] | None = None) -> None:
        entry = AuditEntry(
            subject=subject, action=action, who=who, why=why, at_ms=self.now_ms, evidence=dict(evidence or {})
        )
        self._outbox.write("audit.log", entry)

    def open_alert(self, alert_id: str, kind: str, subject: str, summary: str, *, model_id: str = "") -> None:
        known = self.alerts.get(alert_id)
        alert = alerts.opened(alert_id, kind, subject, summary, self.now_ms, model_id=model_id, known=known)
        if alert is not known:
            self.put_alert(alert)
            self.audit(f"alert/{alert_id}", "firing", WHO, summary)

    def close_alert(self, alert_id: str) -> None:
        alert = self.alerts.pop(alert_id, None)
        if alert is not None:
            self._outbox.write("drift.alerts", alerts.closed(alert, self.now_ms))
            self.audit(f"alert/{alert_id}", "resolved", WHO, alert.summary)

    def put_alert(self, alert: DriftAlert) -> None:
        self.alerts[alert.alert_id] = alert
        self._outbox.write("drift.alerts", alert)

    def restore_alert(self, alert: DriftAlert) -> None:
        if alert.state is not AlertState.RESOLVED:
            self.alerts[alert.alert_id] = alert

    def take(self, rollouts: Mapping[str, Rollout], fleet: Fleet, digested: Mapping[str, int]) -> list[Write]:
        """Return everything, and begin afresh; statuses carry `digested`, the next offset of each input."""
        for rollout_id, device_id in self._rows:
            self._write_row(rollouts[rollout_id], device_id, fleet)
            self._statuses[rollout_id] = None
        for rollout_id in self._statuses:
            self._outbox.write("rollouts.status", status_of(rollouts[rollout_id], digested))
        self._rows.clear()
        self._statuses.clear()
        for _ in range(min(len(self._bygone), MOST_FORGOTTEN)):
            key = self._bygone.popleft()
            self._outbox.forget("rollouts.devices", key)
            # The row may be all that says how far the device's revisions have come.
            fleet.publish(key.partition("/")[2])
        self._write_devices(fleet)
        return self._outbox.take()

    def _write_row(self, rollout: Rollout, device_id: str, fleet: Fleet) -> None:
        row, device = rollout.members.row(device_id), fleet.get(device_id)
        if row is not None:
            revision = device.revision if device is not None else 0
            rollout.members.note_published(row)
            self._outbox.write("rollouts.devices", device_of(rollout, row, revision=revision, now_ms=self.now_ms))

    def _write_devices(self, fleet: Fleet) -> None:
        for device in fleet.take_changed():
            self._outbox.write("fleet.devices", device)
