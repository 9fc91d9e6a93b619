"""What one process of a backtest is to replay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from schemas.catalogue import topic_named
from schemas.grid import Baseline, Grid
from schemas.partition import partition_of
from streams.backtest.candidate import Candidate
from streams.backtest.happenings import Happening, Labelled, Surroundings
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
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    then: "Then | None" = None
    injections: Sequence[Injection] = ()
    # Model health: its shares, before the span and within, and the policies by which it is judged.
    health: tuple[Sequence[Share], Sequence[Share]] = ((), ())
    health_candidates: Sequence[Candidate] = ()
    # Scores are noted once in so long.
    step_ms: int = 15 * 60_000
    # Event time at which device-days are split in two; 0 for nowhere.
    split_ms: int = 0


@dataclass(frozen=True)
class Then:
    """What it takes to alert as was alerted then: by topic and partition, what counted, and what was not judged."""

    timelines: Mapping[str, Mapping[int, Timeline]]
    left_out: Mapping[str, Mapping[int, frozenset[int]]]
    happenings: Sequence[Happening]

    def surroundings(self, partition: int) -> Surroundings:
        """Return what matters to one partition."""
        many = topic_named(SOURCE).partitions
        return Surroundings(
            [
                one
                for one in self.happenings
                if not isinstance(one, Labelled) or partition_of(one.device_id, many) == partition
            ]
        )
