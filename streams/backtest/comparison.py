"""What differs between two tellings of the same stretch: alerts matched by name, or by device, feature and time."""

from collections.abc import Sequence
from dataclasses import dataclass

from streams.backtest.stories import Story

__all__ = ["Difference", "compare"]

_FOR_EVER = 2**62


@dataclass(frozen=True, slots=True)
class Difference:
    """One alert that is not the same in both: "only then", "only now", "other time", or "other kind" at that time."""

    what: str
    subject: str
    feature: str
    kind: str
    then_ms: int | None
    now_ms: int | None


def compare(then: Sequence[Story], now: Sequence[Story]) -> list[Difference]:
    """Return what differs, in order of time; alerts that never fired count for nothing."""
    now_by_id = {story.alert_id: story for story in now}
    same = [story for story in then if story.alert_id in now_by_id]
    told = {story.alert_id for story in same}
    differences = [
        _difference("other time", story, now_by_id[story.alert_id])
        for story in same
        if story.fired_ms != now_by_id[story.alert_id].fired_ms
    ]
    left = [story for story in now if story.alert_id not in told]
    for story in (one for one in then if one.alert_id not in told):
        twin = next((one for one in left if _overlap(story, one)), None)
        if twin is None:
            differences.append(_difference("only then", story, None))
            continue
        left.remove(twin)
        if story.fired_ms != twin.fired_ms:
            differences.append(_difference("other time", story, twin))
        elif story.kind != twin.kind:
            differences.append(_difference("other kind", story, twin))
    differences += [_difference("only now", None, story) for story in left]
    return sorted(differences, key=lambda one: (_first(one), one.subject, one.feature))


def _overlap(one: Story, other: Story) -> bool:
    if (one.subject, one.feature) != (other.subject, other.feature):
        return False
    return (one.fired_ms or 0) <= (other.resolved_ms or _FOR_EVER) and (other.fired_ms or 0) <= (
        one.resolved_ms or _FOR_EVER
    )


def _difference(what: str, then: Story | None, now: Story | None) -> Difference:
    shown = then or now
    assert shown is not None  # noqa: S101  (one of them is there)
    kind = f"{then.kind} → {now.kind}" if then and now and then.kind != now.kind else shown.kind
    return Difference(
        what, shown.subject, shown.feature, kind, then.fired_ms if then else None, now.fired_ms if now else None
    )  # fmt: skip


def _first(one: Difference) -> int:
    return min(at_ms for at_ms in (one.then_ms, one.now_ms, _FOR_EVER) if at_ms is not None)
