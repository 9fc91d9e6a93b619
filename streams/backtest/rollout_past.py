"""Find a past rollout in history: its plan, its devices, what they answered, and what was seen of them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from schemas.catalogue import topic_named
from schemas.errors import BadRecordError
from schemas.rollouts import Ack, RolloutDevice, RolloutPlan, RolloutStatus
from streams.backtest.errors import BacktestError
from streams.backtest.history import History, Share, records_of, state_of
from streams.backtest.history.entry import made
from streams.backtest.rollout import Answer, Moment, PastRollout, merged
from streams.backtest.span import EVER, Span
from streams.rollouts.plan import Plan, parse_plan

__all__ = ["find_rollout", "moments_then", "plan_then", "seen_in"]

_ALERTS = "drift.alerts"
_TELEMETRY = ("telemetry.model-health", "drift.scores", _ALERTS)


def plan_then(history: History, rollout_id: str) -> Plan:
    """Return the plan that a rollout had."""
    return parse_plan(json.loads(_accepted(history, rollout_id).document))


def find_rollout(history: History, rollout_id: str) -> PastRollout:
    """Gather what is known of a rollout; what was seen of its devices is read while it is replayed."""
    accepted = _accepted(history, rollout_id)
    then: dict[str, RolloutDevice] = {
        record.device_id: record
        for record in state_of(history, "rollouts.devices").values()
        if record.rollout_id == rollout_id
    }
    devices = state_of(history, "fleet.devices")
    if not devices:
        raise BacktestError(f"fleet.devices: found none on {history.name}, wanted the devices of {rollout_id!r}")
    answers = _answers(history, rollout_id)
    # Commanded, and never heard from.
    silent: dict[str, list[list[Answer]]] = {
        name: [] for name, one in then.items() if one.revision and name not in answers
    }
    return PastRollout(
        rollout_id=rollout_id,
        begin_ms=accepted.created_ms,
        devices=list(devices.values()),
        release=state_of(history, "models.releases").get(accepted.model_id),
        previous={name: one.previous_model_id for name, one in then.items() if one.previous_model_id},
        answers={**answers, **silent},
        telemetry=seen_in(history, Span(accepted.created_ms, EVER.to_ms)),
    )


def moments_then(history: History, rollout_id: str) -> list[Moment]:
    """Return how the rollout went then, as far as its statuses are kept."""
    moments: list[Moment] = []
    for entry, status in records_of(history, "rollouts.status"):
        if isinstance(status, RolloutStatus) and status.rollout_id == rollout_id:
            stands = (status.phase, status.stage, status.reason)
            if not moments or (moments[-1].phase, moments[-1].stage, moments[-1].reason) != stands:
                moments.append(Moment(entry.at_ms, *stands, status.gates, dict(status.devices)))
    return moments


def seen_in(history: History, span: Span, *, alerts_from_ms: int | None = None) -> Iterator[tuple[int, Any]]:
    """Return the health, scores and alerts of a span with their broker times, in order; alerts from further back."""
    before = Span(span.from_ms if alerts_from_ms is None else alerts_from_ms, span.to_ms)
    return merged(_seen(history, topic, before if topic == _ALERTS else span) for topic in _TELEMETRY)


def _accepted(history: History, rollout_id: str) -> RolloutPlan:
    plans: Mapping[str, RolloutPlan] = state_of(history, "rollouts.plans")
    if rollout_id not in plans:
        known = ", ".join(sorted(plans)) or "none"
        raise BacktestError(f"rollout {rollout_id!r}: found no such rollout on {history.name}; it has {known}")
    return plans[rollout_id]


def _answers(history: History, rollout_id: str) -> dict[str, list[list[Answer]]]:
    """Return each device's answers, command by command; repeated reports count once."""
    found: dict[str, dict[int, list[tuple[int, Ack]]]] = {}
    seen: set[tuple[str, str, int]] = set()
    for entry, ack in records_of(history, "rollouts.acks"):
        if not isinstance(ack, Ack) or ack.rollout_id != rollout_id or (ack.device_id, ack.boot_id, ack.seq) in seen:
            continue
        seen.add((ack.device_id, ack.boot_id, ack.seq))
        found.setdefault(ack.device_id, {}).setdefault(ack.revision, []).append((entry.at_ms, ack))
    return {
        device: [
            [Answer(at_ms - told[0][0], ack.phase, ack.reason) for at_ms, ack in told]
            for _, told in sorted(by_revision.items())
        ]
        for device, by_revision in found.items()
    }


def _seen(history: History, topic: str, span: Span) -> Iterator[tuple[int, Any]]:
    if topic not in history.topics():
        return iter(())
    return merged(_records(history, share) for share in history.shares(topic, span))


def _records(history: History, share: Share) -> Iterator[tuple[int, Any]]:
    topic = topic_named(share.topic)
    for entries in history.entries(share):
        for entry in entries:
            try:
                record = made(topic, entry)
            except BadRecordError as why:
                history.troubles.append(f"{share.topic}: partition {entry.partition}, offset {entry.offset}: {why}")
                continue
            if record is not None:
                yield entry.at_ms, record
