"""Alerts: something drifted, told once and followed to its end.

The book of one partition's alerts keeps these rules:

* a feature of a device has at most one live alert of each family and horizon; what kind it is shows at its opening;
* a slower horizon opens none of what a faster one tells, or told of within its length: it sees the same for longer
  (unless they are compared with different things);
* an alert opens pending, fires after enough breaches among the last windows, and resolves after enough quiet
  ones; a window without enough data is neither;
* one that comes back soon is the same alert, and takes longer to resolve each time;
* severity may rise while an alert lives, and never falls;
* every change is returned once; a window that changes nothing returns nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from schemas.drift_alert import AlertState, DriftAlert, Severity
from streams.drift.hours import HOUR_MS
from streams.drift.observed import Breach, Observation, Shown
from streams.drift.policy import Life
from streams.drift.silences import Silence

__all__ = ["AlertBook", "Key", "Live"]

# No horizon reaches further back.
_ENDS_KEPT_MS = 60 * 24 * HOUR_MS
_GRAVER = (Severity.UNKNOWN, Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """An alert with what its life depends on."""

    alert: DriftAlert
    # Whether the last windows breached, the latest in the lowest bit.
    history: int
    quiet: int = 0
    returns: int = 0


# Feature, family and horizon of an alert.
Key = tuple[str, str, int]


class AlertBook:
    """All alerts of some subjects that live, or ended a short while ago."""

    def __init__(self, *, policy_id: str = "", policy_revision: int = 0, prefix: str = "") -> None:
        self.policy_id, self.policy_revision = policy_id, policy_revision
        # How the ids of its alerts begin.
        self.prefix = prefix
        self.live: dict[str, dict[Key, Live]] = {}
        # When alerts last ended, by subject, as far as a slower horizon may still see what they were about.
        self.ended_ms: dict[str, dict[Key, int]] = {}
        self.silences: dict[str, Silence] = {}
        # Labels of subjects, where more is known of them than an observation says.
        self.labels: Mapping[str, Mapping[str, str]] = {}

    def __contains__(self, subject: object) -> bool:
        """Say whether windows of a subject matter even when they are quiet."""
        return subject in self.live

    def alerts(self) -> Iterator[DriftAlert]:
        return (one.alert for alerts in self.live.values() for one in alerts.values())

    def observe(self, seen: Observation, life: Life) -> list[DriftAlert]:
        """Take in one window, and return the alerts that it changed; what was held of its subject stays as it is."""
        held = self.live.get(seen.subject, {})
        if not seen.breaches and all(key[2] != seen.horizon_ms for key in held):
            return []
        mine = dict(held)
        changed: list[DriftAlert] = []
        breached = {(breach.feature, breach.family, seen.horizon_ms): breach for breach in seen.breaches}
        for key in [key for key in breached if key not in mine and self._is_told(key, seen)]:
            del breached[key]
        for key, breach in breached.items():
            after = self._breached(mine.get(key), breach, seen, life)
            _note(changed, mine.get(key), after)
            mine[key] = after
        for key in [key for key in mine if key not in breached and key[2] == seen.horizon_ms]:
            after_quiet = self._quiet(mine[key], seen, life) if key[0] not in seen.unknown else mine[key]
            if after_quiet is None:
                del mine[key]
                continue
            _note(changed, mine[key], after_quiet)
            if after_quiet.alert is not mine[key].alert:
                self.ended_ms[seen.subject] = {**self.ended_ms.get(seen.subject, {}), key: seen.at_ms}
            mine[key] = after_quiet
        changed += self._grown_old(mine, seen.at_ms, life, horizon_ms=seen.horizon_ms)
        if mine:
            self.live[seen.subject] = mine
        else:
            self.live.pop(seen.subject, None)
        return changed

    def acknowledge(self, alert_id: str, who: str, now_ms: int) -> DriftAlert | None:
        """Note that somebody cares for a firing alert; None when there is no such alert."""
        for place in self._places(alert_id):
            held = self.live[place[0]][place[1]]
            # A request from before the alert fired (again) was about something else.
            if held.alert.state is AlertState.FIRING and held.alert.opened_ms <= now_ms:
                alert = replace(held.alert, state=AlertState.ACKNOWLEDGED, by=who, changed_ms=now_ms)
                self.live[place[0]][place[1]] = replace(held, alert=alert)
                return alert
        return None

    def silence(self, silence: Silence, now_ms: int) -> list[DriftAlert]:
        """Silence what matches, now and until the silence ends."""
        self.silences = {name: one for name, one in self.silences.items() if now_ms < one.until_ms}
        self.silences[silence.silence_id] = silence
        return [alert for alerts in self.live.values() for alert in self._grown_old(alerts, now_ms, None)]

    def unsilence(self, silence_id: str, now_ms: int) -> list[DriftAlert]:
        """End a silence before its time; one that is not known changes nothing."""
        if self.silences.pop(silence_id, None) is None:
            return []
        return [alert for alerts in self.live.values() for alert in self._grown_old(alerts, now_ms, None)]

    def pass_time(self, now_ms: int, life: Life) -> list[DriftAlert]:
        """Escalate, and end silences, where no window comes to remind of it."""
        self._forget_ends(now_ms)
        self.silences = {name: one for name, one in self.silences.items() if now_ms < one.until_ms}
        return [alert for alerts in self.live.values() for alert in self._grown_old(alerts, now_ms, life)]

    def _is_told(self, key: Key, seen: Observation) -> bool:
        """Say whether an alert of a faster horizon tells the same, or did within this one."""
        if not seen.horizon_ms:
            return False
        feature, family, horizon_ms = key
        live = self.live.get(seen.subject, {})
        told = [one for one, held in live.items() if held.alert.state is not AlertState.RESOLVED]
        since_ms = seen.at_ms - horizon_ms
        told += [one for one, at_ms in self.ended_ms.get(seen.subject, {}).items() if at_ms > since_ms]
        return any(one[:2] == (feature, family) and seen.fastest_ms <= one[2] < horizon_ms for one in told)

    def _forget_ends(self, now_ms: int) -> None:
        for subject, ends in list(self.ended_ms.items()):
            kept = {key: at_ms for key, at_ms in ends.items() if at_ms > now_ms - _ENDS_KEPT_MS}
            if kept:
                self.ended_ms[subject] = kept
            else:
                del self.ended_ms[subject]

    def _grown_old(
        self, alerts: dict[Key, Live], now_ms: int, life: Life | None, *, horizon_ms: int | None = None
    ) -> list[DriftAlert]:
        """End silences that are over, and escalate what fired long ago and nobody acknowledged."""
        changed = []
        for key, held in alerts.items():
            if horizon_ms is not None and key[2] != horizon_ms:
                continue
            alert, silenced = held.alert, self._silenced(held.alert, now_ms)
            if silenced != alert.silenced:
                alert = replace(alert, silenced=silenced)
            if life is not None:
                alert = _escalated(alert, now_ms, life)
            if alert is not held.alert:
                alert = replace(alert, changed_ms=max(now_ms, alert.changed_ms))
                alerts[key] = replace(held, alert=alert)
                changed.append(alert)
        return changed

    def _breached(self, held: Live | None, breach: Breach, seen: Observation, life: Life) -> Live:
        if held is None or (held.alert.state is AlertState.RESOLVED and _stale(held, seen, life)):
            held = Live(alert=self._opened(breach, seen), history=0)
        history = (held.history << 1 | 1) & ((1 << life.of_windows) - 1)
        alert, returns = held.alert, held.returns
        if alert.state is AlertState.RESOLVED:
            alert, returns = replace(alert, state=AlertState.FIRING, by=""), returns + 1
        elif alert.state is AlertState.PENDING and history.bit_count() >= life.breaches:
            alert = replace(alert, state=AlertState.FIRING)
        severity = max(alert.severity, breach.severity, key=_GRAVER.index)
        if severity != alert.severity or alert.state is not held.alert.state:
            shown = breach.closer()
            alert = replace(
                alert, severity=severity, changed_ms=seen.at_ms, evidence=shown.evidence, members=seen.members,
                summary=_summary(breach, shown, seen, severity),
            )  # fmt: skip
        if held.alert.state is AlertState.PENDING and not history >> 1:
            alert = replace(alert, silenced=self._silenced(alert, seen.at_ms))
        return Live(alert=alert, history=history, quiet=0, returns=returns)

    def _quiet(self, held: Live, seen: Observation, life: Life) -> Live | None:
        if held.alert.state is AlertState.RESOLVED:
            return None if _stale(held, seen, life) else held
        history, quiet = (held.history << 1) & ((1 << life.of_windows) - 1), held.quiet + 1
        patience = life.of_windows if held.alert.state is AlertState.PENDING else life.resolve_after_windows
        alert = held.alert
        if quiet >= patience * (1 + held.returns):
            alert = replace(alert, state=AlertState.RESOLVED, changed_ms=seen.at_ms)
        return replace(held, alert=alert, history=history, quiet=quiet)

    def _opened(self, breach: Breach, seen: Observation) -> DriftAlert:
        shown = breach.closer()
        return DriftAlert(
            alert_id=f"{self.prefix}{seen.subject}/{breach.feature}/{shown.kind}/{seen.at_ms}{_over(seen)}",
            kind=shown.kind,
            subject=seen.subject,
            subject_is_cohort=seen.is_cohort,
            feature=breach.feature,
            model_id=seen.model_id,
            state=AlertState.PENDING,
            severity=breach.severity,
            opened_ms=seen.at_ms,
            changed_ms=seen.at_ms,
            summary=_summary(breach, shown, seen, breach.severity),
            evidence=shown.evidence,
            policy_id=self.policy_id,
            policy_revision=self.policy_revision,
            members=seen.members,
            labels=dict(self.labels.get(seen.subject, seen.labels)),
        )

    def _silenced(self, alert: DriftAlert, now_ms: int) -> bool:
        return any(silence.covers(alert, now_ms) for silence in self.silences.values())

    def _places(self, alert_id: str) -> Sequence[tuple[str, Key]]:
        return [
            (subject, key)
            for subject, alerts in self.live.items()
            for key, held in alerts.items()
            if held.alert.alert_id == alert_id
        ]


def _note(changed: list[DriftAlert], before: Live | None, after: Live) -> None:
    if before is None or (before.alert is not after.alert and before.alert != after.alert):
        changed.append(after.alert)


def _over(seen: Observation) -> str:
    return f"/{seen.horizon_ms // 60_000}min" if seen.horizon_ms else ""


def _stale(held: Live, seen: Observation, life: Life) -> bool:
    return seen.at_ms - held.alert.changed_ms > life.flap_ms


def _escalated(alert: DriftAlert, now_ms: int, life: Life) -> DriftAlert:
    waiting = alert.state is AlertState.FIRING and not alert.escalated and not alert.silenced
    if not waiting or now_ms - alert.opened_ms < life.escalate_after_ms:
        return alert
    graver = _GRAVER[min(_GRAVER.index(alert.severity) + 1, len(_GRAVER) - 1)]
    return replace(alert, severity=graver, escalated=True)


def _summary(breach: Breach, shown: Shown, seen: Observation, severity: Severity) -> str:
    told = ", ".join(f"{name} {value:.3g}" for name, value in list(shown.evidence.scores.items())[:3])
    over = f" over {seen.horizon_ms / HOUR_MS:g} h" if seen.horizon_ms else ""
    return f"{severity.value} {shown.kind.replace('_', ' ')} in {breach.feature} of {seen.subject}{over} ({told})"
