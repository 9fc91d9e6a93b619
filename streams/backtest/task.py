"""What one process of a backtest is to replay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from schemas.catalogue import topic_named
from schemas.grid import Baseline, Grid
from schemas.partition import partition_of
from streams.backtest.candidate import Candidate
from streams.backtest.cohort_player import Since
from streams.backtest.happenings import Asked, Happening, Labelled, Surroundings
from streams.backtest.history import History, Share
from streams.backtest.inject import Injection
from streams.backtest.span import Span
from streams.drift.desk import SOURCE
from streams.drift.policy import Timeline

__all__ = ["Task", "Then"]


@dataclass(frozen=True)
class Task:
    """What one process replays: shares of partitions, what they are judged against, and by which policies."""

    history: History
    # The stretch to report on, and before it what only warms state up.
    shares: Sequence[Share]
    warm_up: Sequence[Share]
    span: Span
    candidates: Sequence[Candidate]
    grids: Mapping[str, Grid]
    baselines: Mapping[str, Baseline]
    # Labels of devices that say by which rules each is judged, and all of them, by which cohorts are made.
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    all_labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    then: "Then | None" = None
    injections: Sequence[Injection] = ()
    # Those of the candidates by which cohorts are told of.
    cohort_candidates: Sequence[Candidate] = ()
    # Model health, samples and labels: shares before the span and within, and the policies by which they are judged.
    health: tuple[Sequence[Share], Sequence[Share]] = ((), ())
    health_candidates: Sequence[Candidate] = ()
    # Scores are noted once in so long.
    step_ms: int = 15 * 60_000
    # Event time at which device-days are split in two; 0 for nowhere.
    split_ms: int = 0

    @property
    def records(self) -> int:
        """Return how many records there are to read, at most."""
        return sum(share.records for share in (*self.shares, *self.warm_up, *self.health[0], *self.health[1]))


@dataclass(frozen=True)
class Then:
    """What it takes to alert as was alerted then: by topic and partition, what counted, and what was not judged."""

    timelines: Mapping[str, Mapping[int, Timeline]]
    left_out: Mapping[str, Mapping[int, frozenset[int]]]
    happenings: Sequence[Happening]
    # Before which offset requests were heeded: by topic and partition, then by request.
    heeded_from: Mapping[tuple[str, int], Mapping[str, int]] = field(default_factory=dict)
    # By which policies cohorts were judged, by partition of their topic.
    cohort_policies: Mapping[int, Sequence[Since]] = field(default_factory=dict)

    def surroundings(self, topic: str, partition: int) -> Surroundings:
        """Return what matters to one partition."""
        many = topic_named(SOURCE).partitions
        return Surroundings(
            [
                one
                for one in self.happenings
                if not isinstance(one, Labelled) or partition_of(one.device_id, many) == partition
            ],
            self.heeded_from.get((topic, partition)),
        )

    @property
    def asked(self) -> list[Asked]:
        """Return what operators asked for."""
        return [one for one in self.happenings if isinstance(one, Asked)]
