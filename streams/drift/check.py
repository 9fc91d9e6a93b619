"""Compare two tables column by column, by the scores and floors that watch a fleet.

A table is looked at once: a column drifts when some test is surer than `_ALPHA` allows for all columns and tests
together (Bonferroni), and its effect is above the policy's floor. How much rows that follow each other are alike is
learned from the baseline, cut into stretches.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.canonical import with_content_id
from schemas.drift_alert import Severity
from schemas.drift_kind import DriftKind
from schemas.drift_scores import Verdict
from schemas.grid import Baseline, FeatureBaseline, FeatureGrid, FeatureKind, Grid
from sensing import Binner
from streams.drift.carried import carried
from streams.drift.evidence import Kind
from streams.drift.kinds import kind_name
from streams.drift.normal import upper_tail
from streams.drift.policy import Mode, Rules
from streams.drift.references import lay_out
from streams.drift.scores import SCORES, Pair, Sample, psi_bias
from streams.drift.tabular import Rows, TabularError, as_numbers, as_words, known_among, words_among
from streams.drift.verdicts import SEVERITIES, Grade, by_limits

__all__ = ["CheckReport", "ColumnReport", "compare"]

Floats = npt.NDArray[np.float64]

_BINS = 16
_ALPHA = 0.01
# Where fewer values than that carry the baseline's variance, a few others make another one, and nothing has changed.
_CARRIERS, _UNKNOWABLE = 25, 1e6
_STRETCHES, _LEAST_STRETCHES, _LEAST_ROWS = 200, 40, 20
_STEPS = (2.0, 4.0, 8.0)
_DAY_MS = 86_400_000
# Further back than any time that a table may have.
_MOST_DAYS = 1e7
# Baseline deviations beyond which a value is no further away.
_FARTHEST = 1e100


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnReport:
    """What became of one column."""

    column: str
    verdict: Verdict
    # What kind of drift; empty where there is none.
    drift: str = ""
    severity: Severity = Severity.UNKNOWN
    rows: int = 0
    scores: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All columns, those that drift first."""

    columns: tuple[ColumnReport, ...]
    recent_rows: int
    baseline_rows: int
    notes: tuple[str, ...] = ()

    @property
    def drifted(self) -> bool:
        return any(column.verdict is Verdict.DRIFT for column in self.columns)

    def __str__(self) -> str:
        drifted = [f"{one.column}: {one.drift}, {one.severity.value}" for one in self.columns if one.drift]
        rows = f"{self.recent_rows} rows against {self.baseline_rows}"
        return "\n  ".join([f"{len(drifted)} of {len(self.columns)} columns drifted: {rows}", *drifted])


def compare(recent: Rows, baseline: Rows, *, rules: Rules | None = None, window_days: float = 7) -> CheckReport:
    """Compare recent rows (the last `window_days`, where they have times) with baseline rows."""
    rules, notes = rules or Rules(), []
    if not window_days > 0:
        raise TabularError(f"window_days: found {window_days}, wanted a number above 0")
    if recent.at_ms is not None and len(recent):
        recent, told = _last_days(recent, int(recent.at_ms.max()), window_days)
        notes += told
    elif recent.at_ms is None:
        notes.append("the rows have no times: all recent ones are compared")
    shared = [name for name in baseline.columns if name in recent.columns]
    if not shared or not len(baseline) or not len(recent):
        raise TabularError(
            f"nothing to compare: recent has {len(recent)} rows of {', '.join(recent.columns) or 'no column'}, "
            f"baseline {len(baseline)} of {', '.join(baseline.columns) or 'no column'}"
        )
    notes += [f"new column, not compared: {name}" for name in recent.columns if name not in baseline.columns]
    reports = [
        ColumnReport(column=name, verdict=Verdict.DRIFT, drift="column_gone", severity=Severity.CRITICAL)
        for name in baseline.columns
        if name not in recent.columns
    ]
    grid, before, now, told = _counted_alike(shared, recent, baseline)
    notes += told
    stretch = min(len(recent), len(baseline) // _LEAST_STRETCHES)
    if stretch < _LEAST_ROWS:
        notes.append(f"{len(baseline)} baseline rows are too few to learn how alike neighbours are")
    reports += _judged(_pair(grid, before, now, stretch), _carried(grid, before, now), shared, rules)
    order = {name: place for place, name in enumerate(baseline.columns)}
    reports.sort(key=lambda one: (-SEVERITIES.index(one.severity), order[one.column]))
    return CheckReport(tuple(reports), len(recent), len(baseline), tuple(notes))


def _last_days(rows: Rows, last_ms: int, window_days: float) -> tuple[Rows, list[str]]:
    """Return the rows of the last days, and what is to be told of the others: one wrong clock leaves nearly all out."""
    kept = rows.since(int(last_ms - min(window_days, _MOST_DAYS) * _DAY_MS))
    if len(kept) == len(rows):
        return kept, []
    last = np.datetime_as_string(np.datetime64(last_ms, "ms"), unit="s")
    return kept, [f"{len(kept)} of {len(rows)} recent rows lie within {window_days:g} days of the last time, {last}Z"]


def _counted_alike(names: list[str], recent: Rows, baseline: Rows) -> tuple[Grid, Floats, Floats, list[str]]:
    """Return a grid cut by the baseline, both tables as numbers, and what is to be told of them."""
    features, before, now, notes = [], [], [], []
    for name in names:
        old, new = baseline.columns[name], recent.columns[name]
        if _are_numbers(old, new):
            notes += [
                f"{name}: {words} {which} values are no numbers, such as {example!r}; they count as missing"
                for which, column in (("baseline", old), ("recent", new))
                for words, example in [words_among(column)]
                if words
            ]
            old, new = _standardized(as_numbers(old), as_numbers(new))
            features.append(FeatureGrid(name=name, kind=FeatureKind.NUMERIC, edges=_edges(old)))
        else:
            if old.dtype != new.dtype:
                example = next(words_among(column)[1] for column in (old, new) if column.dtype == object)
                notes.append(f"{name}: one table has numbers, the other words, such as {example!r}")
                old, new = as_words(old), as_words(new)
            codes, once = _codes(old)
            bins = tuple(map(float, sorted(set(codes.values()))))
            features.append(FeatureGrid(name=name, kind=FeatureKind.CATEGORICAL, categories=bins))
            # A word that is there once would not have been seen but for itself: so many of the next ones are new
            # as well (Good and Turing), and a column of names that never return has not drifted.
            old, new = _coded(old, codes | dict.fromkeys(once, -1)), _coded(new, codes)
        before.append(old)
        now.append(new)
    grid = with_content_id(Grid(grid_id="", pipeline="table/1", bins=_BINS, features=tuple(features)))
    return grid, np.stack(before, axis=1).astype(np.float64), np.stack(now, axis=1).astype(np.float64), notes


def _are_numbers(old: npt.NDArray[Any], new: npt.NDArray[Any]) -> bool:
    """Say whether a column is numbers with words in between: not where they are few kinds of numbers, or few at all."""
    if old.dtype != object and new.dtype != object:
        return True
    if any(2 * words_among(column)[0] > known_among(column) for column in (old, new)):
        return False
    return old.dtype != object or new.dtype != object or len(np.unique(as_numbers(old))) > _BINS


def _standardized(old: Floats, new: Floats) -> tuple[Floats, Floats]:
    """Shift and scale both by the baseline: no score minds, and any unit fits into single precision."""
    known = old[np.isfinite(old)]
    largest = np.abs(known).max(initial=0.0) or 1.0
    with np.errstate(over="ignore", under="ignore"):
        known, old, new = known / largest, old / largest, new / largest
        middle, spread = (np.median(known), known.std() or 1.0) if len(known) else (0.0, 1.0)
        old, new = ((values - middle) / spread for values in (old, new))
    return np.clip(old, -_FARTHEST, _FARTHEST), np.clip(new, -_FARTHEST, _FARTHEST)


def _edges(values: Floats) -> tuple[float, ...]:
    known = values[np.isfinite(values)]
    if not len(known):
        return ()
    edges = np.unique(np.quantile(known, np.arange(1, _BINS) / _BINS, method="inverted_cdf"))
    if known.min() == known.max():
        edges = np.array([np.nextafter(edges[0], -np.inf), edges[0]])
    return tuple(edges.tolist())


def _codes(values: npt.NDArray[np.object_]) -> tuple[dict[str, int], list[str]]:
    """Give the commonest words a bin each, and rare ones a bin together; also return which words are there once.

    What is in no bin was never seen.
    """
    words, times = np.unique([str(value) for value in values if _known(value)], return_counts=True)
    commonest = words[np.argsort(-times, kind="stable")[: _BINS - 2]].tolist()
    codes = dict.fromkeys(words.tolist(), len(commonest)) | {word: code for code, word in enumerate(commonest)}
    return codes, words[times == 1].tolist()


def _coded(values: npt.NDArray[np.object_], codes: Mapping[str, int]) -> Floats:
    return np.array([codes.get(str(value), -1.0) if _known(value) else np.nan for value in values], np.float64)


def _known(value: object) -> bool:
    return value != "" and value == value


def _pair(grid: Grid, before: Floats, now: Floats, stretch: int) -> Pair:
    binner = Binner(grid)
    tally, live = binner.count(before), binner.count(now)
    counts, means, spreads, stretches = _dispersions(binner, before, stretch)
    tails = _kurtosis(before)
    spreads = np.maximum(spreads, (np.maximum(tails, _kurtosis(now)) - 1) / 2)
    spreads = np.where(tally.usable < _CARRIERS * tails, _UNKNOWABLE, spreads)
    usable = np.maximum(tally.usable, 1)
    baseline = Baseline(
        baseline_id="", model_id="", grid_id=grid.grid_id, pipeline=grid.pipeline, samples=tally.samples,
        features=tuple(
            FeatureBaseline(
                name=feature.name, counts=tuple(tally.counts[row].tolist()), missing=int(tally.missing[row]),
                out_of_range=0, mean=float(np.nan_to_num(tally.mean[row])),
                variance=float(tally.m2[row] / max(usable[row] - 1, 1)),
                min=float(np.nan_to_num(tally.min[row])), max=float(np.nan_to_num(tally.max[row])),
                dispersion_counts=float(counts[row]), dispersion_mean=float(means[row]),
                dispersion_variance=float(spreads[row]), dispersion_windows=stretches,
            )
            for row, feature in enumerate(grid.features)
        ),
    )  # fmt: skip
    sample = Sample(
        counts=live.counts.T[:, np.newaxis].astype(np.float64),
        missing=live.missing[np.newaxis].astype(np.float64),
        out_of_range=np.zeros((1, len(grid.features))),
        mean=live.mean[np.newaxis],
        m2=live.m2[np.newaxis],
    )
    return Pair(reference=lay_out(grid, baseline).reference, live=sample)


def _dispersions(binner: Binner, before: Floats, stretch: int) -> tuple[Floats, Floats, Floats, int]:
    """Compare stretches of the baseline with what independent rows would give; 1 is independent."""
    ones = np.ones(before.shape[1])
    if stretch < _LEAST_ROWS:
        return ones, ones, ones, 0
    starts = range(0, len(before) - stretch + 1, max(stretch, len(before) // _STRETCHES))
    tallies = [binner.count(before[start : start + stretch]) for start in starts]
    counts = np.stack([tally.counts for tally in tallies]).astype(np.float64)
    usable = np.stack([tally.usable for tally in tallies]).astype(np.float64)
    with np.errstate(all="ignore"):
        usual = _average(before)
        spread = _average((before - usual) ** 2)
        shares = counts.sum(axis=0) / counts.sum(axis=(0, 2))[:, np.newaxis]
        expected = usable[:, :, np.newaxis] * shares
        pearson = np.where(expected > 0, (counts - expected) ** 2 / expected, 0).sum(axis=(0, 2))
        of_counts = pearson / ((len(tallies) - 1) * np.maximum((shares > 0).sum(axis=1) - 1, 1))
        moved = (np.stack([tally.mean for tally in tallies]) - usual) ** 2
        of_means = _average(moved * usable / spread)
        variances = np.stack([tally.m2 for tally in tallies]) / (usable - 1)
        of_spreads = _average((variances - spread) ** 2 * (usable - 1) / (2 * spread**2))
    found = [np.maximum(np.nan_to_num(one, nan=1, posinf=1), 1) for one in (of_counts, of_means, of_spreads)]
    return found[0], found[1], found[2], len(tallies)


def _kurtosis(values: Floats) -> Floats:
    """Fourth moment over squared variance; 3 for normal values, and where there is none.

    A variance wobbles by (kurtosis - 1) / 2 times as much as that of normal values, and about n / kurtosis of n values
    carry it.
    """
    with np.errstate(all="ignore"):
        squares = (values - _average(values)) ** 2
        found = _average((squares / _average(squares)) ** 2)
    return np.where(np.isfinite(found) & (found > 3), found, 3.0)


def _average(values: Floats) -> Floats:
    """Mean over the rows of what is finite; 0 where nothing is."""
    usable = np.isfinite(values)
    return np.asarray(np.where(usable, values, 0).sum(axis=0) / np.maximum(usable.sum(axis=0), 1))


def _carried(grid: Grid, before: Floats, now: Floats) -> Floats:
    numeric = [feature.kind is FeatureKind.NUMERIC for feature in grid.features]
    return np.array(
        [carried(before[:, place], now[:, place]) if one else np.nan for place, one in enumerate(numeric)], np.float64
    )


def _judged(pair: Pair, distances: Floats, names: list[str], rules: Rules) -> list[ColumnReport]:
    scores = {name: np.asarray(score(pair))[0] for name, score in SCORES.items()}
    # The last bins are open: their middle may stand for values far from it, which are known here.
    scores["wasserstein"] = distances
    need = max(rules.minimum.samples, rules.minimum.per_bin * _BINS)
    if rules.mode == Mode.THRESHOLDS:
        found = by_limits(
            dict(rules.limits), {name: scores[name][np.newaxis] for name in rules.limits}, rules.alert_from
        )
        limits = list(rules.limits)
        kinds = [limits[int(place)] for place in found.kind[0]]
        drifts, gravity = found.grade[0] == Grade.DRIFT, found.severity[0].astype(int)
    else:
        drifts, kinds, gravity = _by_tests(pair, scores, rules)
    reports = []
    for place, name in enumerate(names):
        seen = int(pair.live.seen[0, place])
        usable, usual = int(pair.live.usable[0, place]), int(pair.reference.usable[0, place])
        # A few values seem sure of what would be strange among them; that one is missing needs no values.
        drift = drifts[place] and (usual >= need or kinds[place] == DriftKind.MISSING_RATE)
        few = min(usable, usual) < need and not drift
        verdict = Verdict.NOT_ENOUGH_DATA if few else Verdict.DRIFT if drift else Verdict.STABLE
        reports.append(
            ColumnReport(
                column=name,
                verdict=verdict,
                drift=kinds[place] if verdict is Verdict.DRIFT else "",
                severity=SEVERITIES[gravity[place]] if verdict is Verdict.DRIFT else Severity.UNKNOWN,
                rows=seen,
                scores={key: float(value[place]) for key, value in scores.items() if np.isfinite(value[place])},
                note=f"{usable} values against {usual}, {need} are needed" if few else "",
            )
        )
    return reports


def _by_tests(
    pair: Pair, scores: Mapping[str, Floats], rules: Rules
) -> tuple[npt.NDArray[np.bool_], list[str], list[int]]:
    floors = rules.floors
    # Values that wobble so much are together worth less than one independent value, and have no spread.
    spread = pair.live.usable[0] > pair.reference.dispersion_variance[0]
    with np.errstate(all="ignore"):
        ratio = scores["variance_ratio"]
        bias = np.asarray(psi_bias(pair))[0]
        tests = {
            Kind.MEAN_UP: (np.abs(scores["mean_z"]), np.abs(scores["mean_shift"]) / floors.mean_shift),
            Kind.SPREAD_UP: (
                np.where(spread, np.abs(scores["variance_z"]), np.nan),
                np.where(ratio > 0, np.abs(np.log(ratio)), np.inf) / np.log(floors.variance_ratio),
            ),
            Kind.SHAPE: (scores["shape_z"], (scores["psi"] - bias) / floors.psi),
            Kind.MISSING: (scores["missing_z"], scores["missing_rate_change"] / floors.missing_rate),
            Kind.UNSEEN: (scores["unseen_z"], scores["unseen_category"] / floors.unseen_category),
        }
    surest = np.stack([np.nan_to_num(z, nan=-np.inf) for z, _ in tests.values()])
    effects = np.stack([np.nan_to_num(effect, nan=0, posinf=1e6) for _, effect in tests.values()])
    with np.errstate(over="ignore"):
        proven = upper_tail(np.minimum(surest, 1e6)) * 2 * surest.size <= _ALPHA
    matters = proven & (effects >= 1)
    # The gravest names the drift; a shape that a moved mean explains is no second one.
    named = np.where(matters, effects, 0)
    named[list(tests).index(Kind.SHAPE)] *= 1e-9
    best = named.argmax(axis=0)
    drifts: npt.NDArray[np.bool_] = np.asarray(matters.any(axis=0))
    kinds = [
        kind_name(list(tests)[int(one)], float(np.nan_to_num(ratio[place], nan=1.0)), pair, 0, place)
        for place, one in enumerate(best)
    ]
    grave = [1 + int(np.searchsorted(_STEPS, effects[int(one), place], side="right")) for place, one in enumerate(best)]
    return drifts, kinds, grave
