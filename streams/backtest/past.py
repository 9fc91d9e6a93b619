"""What was done then: which policies counted, what happened beside, what was left out, and what was alerted."""

from collections.abc import Collection
from dataclasses import dataclass

from schemas.drift_alert import DriftAlert
from schemas.drift_kind import DriftKind
from schemas.policy import PolicyApplied
from streams.backtest.cohort_player import Since
from streams.backtest.happenings import Asked, Happening, Labelled
from streams.backtest.history import History, records_of
from streams.backtest.span import Span
from streams.backtest.stories import Stories, Story
from streams.backtest.task import Then
from streams.drift.alerts import AlertBook
from streams.drift.cohort_log import TOPIC as COHORTS
from streams.drift.cohort_merger import OF_COHORTS
from streams.drift.desk import SOURCE
from streams.drift.heeding import HEEDED, places_of
from streams.drift.policy import InForce, Timeline, read_policy
from streams.drift.requests import RequestError, heed, is_about_silence
from streams.drift.scores import SCORES
from streams.health.partition import HEALTH, LABELS, SAMPLES
from streams.health.series import SERIES

__all__ = ["Published", "published", "then_of"]

# What alerts of single devices by the drift worker are called, and by the health worker.
_DRIFT, _HEALTH = {*(kind.value for kind in DriftKind), *SCORES}, ("shift", "limit")
_REQUESTS = "operators.requests"
_JUDGED = (SOURCE, HEALTH, SAMPLES, LABELS)


@dataclass(frozen=True)
class Published:
    """The alerts that fired then and that a replay can tell, and how many others there were, by what they are of."""

    stories: list[Story]
    beyond: dict[str, int]


def then_of(history: History) -> Then:
    """Return what it takes to alert as was alerted then."""
    return Then(
        timelines={topic: timelines_of(history, topic) for topic in (SOURCE, HEALTH)},
        left_out={topic: left_out_then(history, topic) for topic in _JUDGED},
        happenings=happenings_of(history),
        heeded_from=heeded_from_of(history),
        cohort_policies=cohort_policies_of(history),
    )


def timelines_of(history: History, topic: str) -> dict[int, Timeline]:
    """Return which policies counted on the partitions of a topic."""
    found: dict[int, Timeline] = {}
    read: dict[tuple[str, int, str], InForce] = {}
    for _, record in records_of(history, "drift.policy-applied"):
        if record is not None and record.source_topic == topic:
            policy = _in_force(record, read)
            found[record.partition] = found.get(record.partition, Timeline()).then(record.source_offset, policy)
    return found


def cohort_policies_of(history: History) -> dict[int, list[Since]]:
    """Return by which policies cohorts were judged, by partition; none where no worker said that it did."""
    found: dict[int, list[Since]] = {}
    read: dict[tuple[str, int, str], InForce] = {}
    for entry, record in records_of(history, "drift.policy-applied"):
        if record is not None and record.source_topic == COHORTS:
            found.setdefault(record.partition, []).append(Since(entry.at_ms, _in_force(record, read)))
    return found


def heeded_from_of(history: History) -> dict[tuple[str, int], dict[str, int]]:
    """Return before which records requests were heeded, as far as workers said so."""
    found: dict[tuple[str, int], dict[str, int]] = {}
    for _, entry in records_of(history, "audit.log"):
        if entry is not None and entry.action == HEEDED:
            for place, offset in places_of(entry):
                found.setdefault(place, {}).setdefault(entry.subject.partition("/")[2], offset)
    return found


def left_out_then(history: History, topic: str) -> dict[int, frozenset[int]]:
    """Return the offsets of records that a worker could not use, by partition: dead letters."""
    found: dict[int, set[int]] = {}
    for _, letter in records_of(history, "dead-letters"):
        if letter is not None and letter.source_topic == topic:
            found.setdefault(letter.source_partition, set()).add(letter.source_offset)
    return {partition: frozenset(offsets) for partition, offsets in found.items()}


def happenings_of(history: History) -> list[Happening]:
    """Return how devices were labelled and what operators asked of alerts, in order of time.

    Of a device whose earlier records are gone from the log, the first one that is kept counts from its registration.
    """
    found: list[Happening] = []
    seen: set[str] = set()
    for entry, device in records_of(history, "fleet.devices"):
        name = entry.key.decode("utf-8", "replace")
        at_ms = entry.at_ms if device is None or name in seen else min(entry.at_ms, device.registered_ms)
        seen.add(name)
        found.append(Labelled(at_ms, name, {} if device is None else dict(device.labels)))
    for entry, request in records_of(history, _REQUESTS):
        if request is None or not (is_about_silence(request) or request.subject.startswith("alert/")):
            continue
        try:
            heed(AlertBook(), request)
        except RequestError as why:
            history.troubles.append(f"{_REQUESTS}: partition {entry.partition}, offset {entry.offset}: {why}")
        else:
            found.append(Asked(entry.at_ms, request))
    return sorted(found, key=lambda one: one.at_ms)


def published(history: History, span: Span) -> Published:
    """Return the alerts that fired within a span of broker time, as far as they are kept."""
    told, others = Stories(), dict[str, Stories]()
    for entry, record in records_of(history, "drift.alerts"):
        if record is not None and entry.at_ms in span:
            beyond = _beyond(record, history.topics())
            (others.setdefault(beyond, Stories()) if beyond else told).take([record])
    counts = {what: len(some.fired()) for what, some in sorted(others.items())}
    return Published(told.fired(), {what: count for what, count in counts.items() if count})


def _beyond(alert: DriftAlert, topics: Collection[str]) -> str:
    """Return what an alert is of, if a replay cannot tell it; empty if it can."""
    if alert.alert_id.startswith(OF_COHORTS):
        return ""
    if alert.subject_is_cohort:
        return "many devices at once"
    if alert.kind in _DRIFT:
        return ""
    if alert.kind in _HEALTH and alert.feature in SERIES:
        return "" if HEALTH in topics else f"model health, without {HEALTH} in the history"
    missing = [topic for topic in (SAMPLES, LABELS) if topic not in topics]
    return f"quality, without {' and '.join(missing)} in the history" if missing else ""


def _in_force(record: PolicyApplied, read: dict[tuple[str, int, str], InForce]) -> InForce:
    name = (record.policy_id, record.policy_revision, record.document)
    if name not in read:
        read[name] = InForce(
            policy_id=record.policy_id, revision=record.policy_revision, document=record.document,
            rules=read_policy(record.document), envelope=record.envelope,
        )  # fmt: skip
    return read[name]
