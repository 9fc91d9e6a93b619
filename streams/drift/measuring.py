"""Turn windows into summaries, and sums into measurements."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sensing.week import hour_of_week
from streams.drift.earlier import earlier
from streams.drift.evidence import Kind, Look
from streams.drift.kernels import References, Totals, look_closely, score_totals, stacked, transposed
from streams.drift.measured import Group, Looked, Measured
from streams.drift.scores import Floats, Reference
from streams.drift.slow import Ended, Past
from streams.drift.windows import Ints, Rows, Singles, Summary, Windows

__all__ = ["Batch", "Heard", "Measuring", "in_season", "summary_of"]

_MOST_STACKS = 64
# Looks, how long they took to gather, and by which windows they were completed.
Completed = tuple[Summary, Ints, Rows]


@dataclass(frozen=True)
class Batch:
    """Some windows of a run, each of another device: entry i is the window at `places[i]`, of `groups[which[i]]`."""

    windows: Windows
    places: Ints
    rows: Rows
    groups: Sequence[Group]
    which: Ints
    # By row.
    names: Sequence[str]

    def only(self, entries: Rows) -> "Batch":
        return Batch(
            self.windows, self.places[entries], self.rows[entries], self.groups, self.which[entries], self.names
        )  # fmt: skip

    def by_season(self) -> "Batch":
        """Return the same windows, compared with what is usual at their hour of the week."""
        hours = hour_of_week(self.windows.end_ms[self.places] - 1)
        told, which = np.unique(np.stack([self.which, hours], axis=1), axis=0, return_inverse=True)
        groups = [in_season(self.groups[group], hour) for group, hour in told.tolist()]
        return replace(self, groups=groups, which=which.ravel())

    def by_group(self) -> Iterator[tuple[Group, Any]]:
        """Yield each group with its entries."""
        if len(self.groups) == 1:
            yield self.groups[0], slice(None)
            return
        for group in np.unique(self.which).tolist():
            yield self.groups[group], np.flatnonzero(self.which == group)


@dataclass(frozen=True)
class Heard:
    """The last that was heard of some rows."""

    groups: Sequence[Group]
    names: Sequence[str]
    boots: Sequence[str]
    seq: Ints
    end_ms: Ints
    life: Ints


class Measuring:
    """Measures sums against references."""

    def __init__(self) -> None:
        # Laid out for the loops: runs bring the same references again and again.
        self._stacks: dict[tuple[int, ...], tuple[Sequence[Reference], References]] = {}

    def with_looks(
        self, batch: Batch, life: Ints, horizon_ms: int, totals: Totals, looks: Mapping[int, Completed]
    ) -> list[Measured]:
        """Measure the first horizon, whose evidence adds up."""
        stack = self._stacked([group.against.reference for group in batch.groups])
        scores = _scores_of(totals, batch.which, stack)
        looked = {
            need: _looked(sums, span_ms, at, need, _looks_at(sums, batch.which[at], stack))
            for need, (sums, span_ms, at) in looks.items()
        }
        return [
            _measured(
                batch, group, mine, life, horizon_ms, totals, scores,
                looks={need: _some(one, mine) for need, one in looked.items()},
            )
            for group, mine in batch.by_group()
        ]  # fmt: skip

    def alone(self, batch: Batch, life: Ints, horizon_ms: int, every_ms: int, totals: Totals) -> list[Measured]:
        """Measure a horizon that is judged by itself, once in `every_ms`."""
        stack = self._stacked([group.against.over(horizon_ms) for group in batch.groups])
        scores, look = _scores_of(totals, batch.which, stack), _looks_at(totals, batch.which, stack)
        return [
            _measured(batch, group, mine, life, horizon_ms, totals, scores, every_ms=every_ms, alone=_only(look, mine))
            for group, mine in batch.by_group()
        ]

    def slow(self, place: int, ended: Ended, heard: Heard) -> list[Measured]:
        """Measure a slow horizon of some rows, when its pane ends before the window at `place`."""
        distinct = list({id(group): group for group in heard.groups}.values())
        number = {id(group): i for i, group in enumerate(distinct)}
        which = np.array([number[id(group)] for group in heard.groups], np.int64)
        found = []
        for i, group in enumerate(distinct):
            mine = np.flatnonzero(which == i)
            totals = ended.totals.take(mine)
            if ended.past is None:
                reference = group.against.over(ended.horizon_ms)
                stack, of = self._stacked([reference]), np.zeros(len(mine), np.int64)
            else:
                past = Past(ended.past.totals.take(mine), ended.past.is_there[mine], ended.past.span_ms)
                reference = earlier(group.against, ended.horizon_ms, past)
                stack, of = stacked([reference]), np.arange(len(mine))
                group = replace(group, against=group.against.own_past(past.span_ms))
            found.append(
                Measured(
                    group=group, horizon_ms=ended.horizon_ms, place=np.full(len(mine), place), rows=ended.rows[mine],
                    device_id=[heard.names[at] for at in mine.tolist()],
                    boot_id=[heard.boots[at] for at in mine.tolist()],
                    seq=heard.seq[mine], end_ms=heard.end_ms[mine], life=heard.life[mine], totals=totals,
                    reference=reference, every_ms=ended.every_ms, scores=_scores_of(totals, of, stack),
                    alone=_looks_at(totals, of, stack), is_filled=ended.is_filled[mine],
                )
            )  # fmt: skip
        return found

    def of_cohort(
        self, name: str, row_and_life: tuple[int, int], pane: int, end_ms: int, group: Group, horizon_ms: int,
        totals: Totals, look: Totals, span_ms: int, needs: Sequence[int],
    ) -> Measured:  # fmt: skip
        """Measure one pane of a cohort as a look at a large device."""
        row, life = row_and_life
        which, at = np.zeros(1, np.int64), np.zeros(1, np.intp)
        stack = self._stacked([group.against.reference])
        looked = {}
        for need in needs:
            enough = at if look.samples[0] >= need else at[:0]
            seen = look.take(enough)
            found = _looks_at(seen, which[enough], stack)
            looked[need] = _looked(seen, np.full(len(enough), span_ms), enough, need, found)
        return Measured(
            group=group, horizon_ms=horizon_ms, place=np.array([pane]), rows=np.array([row], np.intp), device_id=[name],
            boot_id=[""], seq=np.array([pane]), end_ms=np.array([end_ms]), life=np.array([life]), totals=totals,
            reference=group.against.reference, every_ms=span_ms, scores=_scores_of(totals, which, stack),
            looks=looked,
        )  # fmt: skip

    def _stacked(self, references: Sequence[Reference]) -> References:
        key = tuple(map(id, references))
        found = self._stacks.get(key)
        if found is None:
            if len(self._stacks) >= _MOST_STACKS:
                self._stacks.clear()
            # With the references themselves, so that their ids stay theirs.
            found = self._stacks[key] = (list(references), stacked(references))
        return found[1]


def in_season(group: Group, hour: int) -> Group:
    """Return the group as it is compared with one hour of the week."""
    return replace(group, against=group.against.at_hour(hour))


def summary_of(windows: Windows, which: Rows) -> Summary:
    """Return the summaries of some windows, bins before features."""
    some, features, bins = len(which), *windows.counts.shape[1:]
    counts = np.empty((some, bins, features), np.uint32)
    transposed(windows.counts[which], counts)
    return Summary(
        windows.samples[which], counts, windows.missing[which], windows.out_of_range[which], windows.mean[which],
        windows.m2[which],
    )  # fmt: skip


def _scores_of(sums: Totals, which: Ints, references: References) -> dict[str, Floats]:
    """Score sums, each against the reference `which[i]`: what report floors are about."""
    shape = sums.missing.shape
    psi, ks = np.empty(shape, np.float32), np.empty(shape, np.float32)
    score_totals(sums, which, references, psi, ks)
    return {"psi": psi, "ks": ks}


def _looks_at(sums: Summary | Totals, which: Ints, references: References) -> Look:
    entries, features = sums.missing.shape
    score = np.empty((entries, len(Kind), features), np.float32)
    effect = np.empty_like(score)
    look_closely(sums, which, references, score, effect)
    return Look(score=score, effect=effect)


def _looked(sums: Summary | Totals, span_ms: Ints, at: Rows, need: int, look: Look) -> Looked:
    few = (sums.samples[:, np.newaxis] - sums.missing) < need / 2
    if few.any():
        of_values: Singles = look.score[:, : Kind.SHAPE + 1]
        of_values[np.broadcast_to(few[:, np.newaxis], of_values.shape)] = np.nan
    return Looked(at=at, look=look, span_ms=span_ms, few=few)


def _measured(
    batch: Batch, group: Group, mine: Any, life: Ints, horizon_ms: int, totals: Totals, scores: dict[str, Floats],
    *, every_ms: int = 0, looks: Mapping[int, Looked] | None = None, alone: Look | None = None,
) -> Measured:  # fmt: skip
    places, rows = batch.places[mine], batch.rows[mine]
    windows = batch.windows
    return Measured(
        group=group, horizon_ms=horizon_ms, place=places, rows=rows,
        device_id=[batch.names[row] for row in rows.tolist()],
        boot_id=[windows.boot_id[place] for place in places.tolist()], seq=windows.seq[places],
        end_ms=windows.end_ms[places], life=life[mine], totals=totals.take(mine),
        reference=group.against.reference if alone is None else group.against.over(horizon_ms),
        every_ms=every_ms, scores={name: one[mine] for name, one in scores.items()}, looks=looks, alone=alone,
    )  # fmt: skip


def _some(looked: Looked, entries: Any) -> Looked:
    """Return the looks of some entries, counted among these."""
    if isinstance(entries, slice):
        return looked
    place = np.searchsorted(entries, looked.at)
    mine = np.flatnonzero(np.isin(looked.at, entries, assume_unique=True))
    return Looked(
        at=place[mine], look=_only(looked.look, mine), span_ms=looked.span_ms[mine], few=looked.few[mine]
    )  # fmt: skip


def _only(look: Look, entries: Any) -> Look:
    return Look(score=look.score[entries], effect=look.effect[entries])
