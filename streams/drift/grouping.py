"""Many alerts with one cause: the same feature, in the same way, in many devices of one cohort.

It keeps five rules:

* a device's alert counts for its cohorts while it fires or is acknowledged;
* so many devices of a cohort with the same alert are one alert of the cohort, which lists them;
* it is as grave as the gravest of them, and severity never falls while it lives;
* it resolves when at most half as many are left, and a later group is an alert of its own;
* all of it follows from the alerts on their topic, so that whoever takes over says the same.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from schemas.drift_alert import AlertState, DriftAlert, Evidence, Severity
from streams.drift.policy import InForce
from streams.drift.silences import Silence

__all__ = ["OWN", "Groups"]

# How the ids of these alerts begin; nobody else writes those.
OWN = "cohort/"
# Devices' alerts that other services raise have no feature of a cohort's: those are not grouped.
_LIVE = (AlertState.FIRING, AlertState.ACKNOWLEDGED)
_GRAVITY = (Severity.UNKNOWN, Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)

# Cohort, model, feature, kind.
Cause = tuple[str, str, str, str]


class Groups:
    """What the alerts' topic says of devices and cohorts, and what it should say of cohorts."""

    def __init__(self, policy: InForce) -> None:
        self.policy = policy
        self.silences: Mapping[str, Silence] = {}
        self._members: dict[Cause, dict[str, DriftAlert]] = {}
        self._causes_of: dict[str, tuple[Cause, ...]] = {}
        # The newest alert of each cause, as published.
        self._told: dict[Cause, DriftAlert] = {}

    def take(self, alert: DriftAlert) -> None:
        """Take in a record of the alerts' topic, whoever wrote it."""
        if alert.alert_id.startswith(OWN):
            cause = (alert.subject, alert.model_id, alert.feature, alert.kind)
            known = self._told.get(cause)
            if known is None or known.opened_ms <= alert.opened_ms:
                self._told[cause] = alert
        elif not alert.subject_is_cohort and alert.feature:
            self._count(alert)

    def changes(self, is_mine: Callable[[str], bool]) -> list[DriftAlert]:
        """Return the alerts that differ from what is published, of cohorts that are mine; they count as published."""
        changed = []
        for cause in {**self._members, **self._told}:
            if is_mine(cause[0]):
                wanted = self._wanted(cause)
                if wanted is not None and wanted != self._told.get(cause):
                    self._told[cause] = wanted
                    changed.append(wanted)
        return changed

    def acknowledge(self, alert_id: str, who: str, at_ms: int) -> DriftAlert | None:
        """Note that somebody cares for a cohort's alert; None when there is no such alert that fires."""
        for cause, alert in self._told.items():
            if alert.alert_id == alert_id and alert.state is AlertState.FIRING and alert.opened_ms <= at_ms:
                heard = replace(alert, state=AlertState.ACKNOWLEDGED, by=who, changed_ms=max(at_ms, alert.changed_ms))
                self._told[cause] = heard
                return heard
        return None

    def _count(self, alert: DriftAlert) -> None:
        for cause in self._causes_of.pop(alert.alert_id, ()):
            members = self._members[cause]
            members.pop(alert.alert_id, None)
            if not members:
                del self._members[cause]
        if alert.state in _LIVE:
            causes = tuple(_causes(alert, self.policy.rules.cohorts))
            self._causes_of[alert.alert_id] = causes
            for cause in causes:
                self._members.setdefault(cause, {})[alert.alert_id] = alert

    def _wanted(self, cause: Cause) -> DriftAlert | None:
        members = self._members.get(cause, {})
        devices = tuple(sorted({alert.subject for alert in members.values()}))
        told = self._told.get(cause)
        from_devices = self.policy.rules.life.group_from
        if told is not None and told.state in _LIVE:
            if len(devices) <= from_devices // 2:
                return self._resolved(told, members.values())
            return self._kept(told, devices, members)
        return self._opened(cause, devices, members) if len(devices) >= from_devices else None

    def _opened(self, cause: Cause, devices: tuple[str, ...], members: Mapping[str, DriftAlert]) -> DriftAlert:
        cohort, model_id, feature, kind = cause
        opened_ms = max(alert.opened_ms for alert in members.values())
        worst = _worst(members.values())
        alert = DriftAlert(
            alert_id=f"{OWN}{cohort}/{feature}/{kind}/{opened_ms}",
            kind=kind,
            subject=cohort,
            subject_is_cohort=True,
            feature=feature,
            model_id=model_id,
            state=AlertState.FIRING,
            severity=worst.severity,
            opened_ms=opened_ms,
            changed_ms=max(alert.changed_ms for alert in members.values()),
            summary=_summary(cohort, feature, kind, worst.severity, devices),
            evidence=_evidence(worst, len(devices)),
            policy_id=self.policy.policy_id,
            policy_revision=self.policy.revision,
            members=devices,
            labels=dict([cohort.split("=", 1)]),
        )
        return self._silenced(alert)

    def _kept(self, told: DriftAlert, devices: tuple[str, ...], members: Mapping[str, DriftAlert]) -> DriftAlert:
        worst = _worst(members.values())
        severity = max(told.severity, worst.severity, key=_GRAVITY.index)
        if (devices, severity) != (told.members, told.severity):
            newest_ms = max(alert.changed_ms for alert in members.values())
            told = replace(
                told,
                members=devices,
                severity=severity,
                summary=_summary(told.subject, told.feature, told.kind, severity, devices),
                evidence=_evidence(worst, len(devices)),
                changed_ms=max(newest_ms, told.changed_ms),
            )
        return self._silenced(told)

    def _resolved(self, told: DriftAlert, left: Iterable[DriftAlert]) -> DriftAlert:
        newest_ms = max((alert.changed_ms for alert in left), default=0)
        return replace(told, state=AlertState.RESOLVED, changed_ms=max(newest_ms, told.changed_ms))

    def _silenced(self, alert: DriftAlert) -> DriftAlert:
        silenced = any(one.covers(alert, alert.changed_ms) for one in self.silences.values())
        return alert if silenced == alert.silenced else replace(alert, silenced=silenced)


def _causes(alert: DriftAlert, names: Iterable[str]) -> Iterable[Cause]:
    for name in names:
        value = alert.model_id if name == "model" else alert.labels.get(name)
        if value:
            yield f"{name}={value}", alert.model_id, alert.feature, alert.kind


def _worst(alerts: Iterable[DriftAlert]) -> DriftAlert:
    return max(alerts, key=lambda alert: (_GRAVITY.index(alert.severity), -alert.opened_ms, alert.alert_id))


def _evidence(worst: DriftAlert, devices: int) -> Evidence:
    return replace(worst.evidence, scores={**worst.evidence.scores, "devices": float(devices)})


def _summary(cohort: str, feature: str, kind: str, severity: Severity, devices: tuple[str, ...]) -> str:
    return f"{severity.value} {kind.replace('_', ' ')} in {feature} of {len(devices)} devices with {cohort}"
