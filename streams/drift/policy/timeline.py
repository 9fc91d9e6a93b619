"""Which policy counted for which stretch of a partition's log."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from schemas import feeds
from schemas.cluster import Cluster
from schemas.policy import PolicyApplied
from schemas.wire import Contract
from streams.drift.policy.in_force import InForce
from streams.drift.policy.reader import read_policy

__all__ = ["TOPIC", "Timeline", "timelines"]

TOPIC = "drift.policy-applied"


@dataclass(frozen=True, slots=True)
class Timeline:
    """Policies by the first offset from which they counted, offsets rising."""

    spans: tuple[tuple[int, InForce], ...] = ()

    def at(self, offset: int) -> InForce | None:
        """Return the policy that counted for a record; None for before the first one."""
        place = bisect_right(self.spans, offset, key=lambda span: span[0])
        return self.spans[place - 1][1] if place else None

    def pieces(self, start: int, end: int) -> Iterator[tuple[int, int, InForce | None]]:
        """Cut a stretch of offsets where the policy changes.

        >>> line = Timeline(((5, InForce(revision=1)),))
        >>> [(first, last, policy and policy.revision) for first, last, policy in line.pieces(3, 9)]
        [(3, 5, None), (5, 9, 1)]
        """
        cuts = [offset for offset, _ in self.spans if start < offset < end]
        for first, last in zip([start, *cuts], [*cuts, end], strict=True):
            if last > first:
                yield first, last, self.at(first)

    def then(self, offset: int, policy: InForce) -> "Timeline":
        """Return the timeline with one more change; what was noted for this offset or a later one no longer counts."""
        return Timeline((*(span for span in self.spans if span[0] < offset), (offset, policy)))


def timelines(
    cluster: Cluster, topic: str, *, partitions: Iterable[int] | None = None, contract: Contract | None = None
) -> dict[int, Timeline]:
    """Read which policies counted on the partitions of a topic, by partition; those without a record are missing."""
    wanted = None if partitions is None else set(partitions)
    found: dict[int, Timeline] = {}
    read: dict[tuple[str, int, str], InForce] = {}
    with feeds.follow(cluster, TOPIC, from_ms=0, until_current=True, contract=contract) as feed:
        for event in feed:
            if not isinstance(event, feeds.Changed) or event.value.source_topic != topic:
                continue
            record: PolicyApplied = event.value
            if wanted is None or record.partition in wanted:
                policy = _in_force(record, read)
                found[record.partition] = found.get(record.partition, Timeline()).then(record.source_offset, policy)
    return found


def _in_force(record: PolicyApplied, read: dict[tuple[str, int, str], InForce]) -> InForce:
    name = (record.policy_id, record.policy_revision, record.document)
    if name not in read:
        read[name] = InForce(
            policy_id=record.policy_id,
            revision=record.policy_revision,
            document=record.document,
            rules=read_policy(record.document),
            envelope=record.envelope,
        )
    return read[name]
