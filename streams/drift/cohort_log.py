"""The log of cohorts' shares: opened, taken in, and folded again by whoever takes cohorts over."""

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter

from schemas.cluster import Cluster
from schemas.dead_letter import DeadLetter
from schemas.drift_scores import CohortPane
from schemas.errors import BadRecordError
from schemas.wire import Contract
from streams.drift.cohort_merger import Found, Merger
from streams.drift.known import Known
from streams.drift.references import ScoredAgainst
from streams.drift.replay import oldest_offset, replayed
from streams.kafka import Run
from streams.kafka.dead_letter import dead_letter

__all__ = ["TOPIC", "WHO", "OpenedShares", "ShareMetrics", "fold", "open_shares", "take_all"]

TOPIC = "drift.cohort-panes"
WHO = "cohort worker"


class ShareMetrics:
    """What became of shares, for Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._shares = Counter(
            "driftline_cohort_shares", "Shares of cohorts, by what became of them.", ["outcome"], registry=registry
        )

    def took(self, shares: int, *, late: int, bad: int) -> None:
        """Count shares; a late one came when its pane had been judged, or was long over."""
        for outcome, count in (("in time", max(shares - late, 0)), ("late", late), ("bad", bad)):
            self._shares.labels(outcome).inc(count)


@dataclass
class OpenedShares:
    """A run of shares: by position, each with what it is compared with."""

    shares: list[tuple[int, CohortPane, ScoredAgainst]] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    # Why shares cannot be judged yet; each is a dead letter as well, for whoever cannot wait.
    waiting: set[str] = field(default_factory=set)


def open_shares(contract: Contract, run: Run, known: Known, *, now_ms: int) -> OpenedShares:
    """Decode a run and find what each share is compared with; `RegistryAwayError` while a schema cannot be had."""
    opened = OpenedShares()
    for position, (key, value) in enumerate(zip(run.keys, run.values, strict=True)):
        try:
            share = contract.decode(TOPIC, key, value or b"")
        except BadRecordError as bad:
            opened.dead.append(_letter(run, position, str(bad), now_ms))
            continue
        against = _against(known, share)
        if isinstance(against, str):
            opened.waiting.add(against)
            opened.dead.append(_letter(run, position, against, now_ms))
        else:
            opened.shares.append((position, share, against))
    return opened


def take_all(merger: Merger, run: Run, opened: OpenedShares, *, now_ms: int) -> tuple[Found, list[DeadLetter]]:
    """Take in a run's shares in their order; returns what came of it, and letters for those that make no sense."""
    found, dead = Found(), []
    for position, share, against in opened.shares:
        arrived_ms = run.timestamps_ms[position]
        found.plus(merger.pass_time(arrived_ms))
        try:
            merger.take(share, against, arrived_ms)
        except BadRecordError as bad:
            dead.append(_letter(run, position, str(bad), now_ms))
    return found, dead


def fold(merger: Merger, cluster: Cluster, number: int, end: int, contract: Contract, known: Known) -> int:
    """Bring a new merger to an offset, from what the log still has; what comes of it was told before.

    Returns the number of records.
    """
    folded = 0
    for run in replayed(cluster, TOPIC, number, oldest_offset(cluster, TOPIC, number), end):
        take_all(merger, run, open_shares(contract, run, known, now_ms=0), now_ms=0)
        folded += len(run)
    merger.late = 0
    return folded


def _against(known: Known, share: CohortPane) -> ScoredAgainst | str:
    if known.shape_of(share.grid_id) is None:
        return f"grid {share.grid_id:.12}: found no such grid, wanted one on models.grids"
    return known.against(share.model_id, share.grid_id)


def _letter(run: Run, position: int, why: str, now_ms: int) -> DeadLetter:
    return dead_letter(run, position, why, source_topic=TOPIC, found_by=WHO, now_ms=now_ms)
