"""Backtests for notebooks and scripts: history in, data frames out.

>>> found = backtest("november.parquet", policies=["strict.toml"])  # doctest: +SKIP
>>> found.policies.sort("false_per_device_day")  # doctest: +SKIP
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from schemas.cluster import Cluster
from streams.backtest.candidate import Candidate, read_candidates
from streams.backtest.frames import alerts_frame, devices_frame, differences_frame, evaluation_frame, scores_frame
from streams.backtest.history import ClusterHistory, FileHistory, History
from streams.backtest.incidents import read_incidents
from streams.backtest.report import page
from streams.backtest.search import Goal
from streams.backtest.span import moment_ms, span_of
from streams.backtest.study import Question, Search, Study, WhatIf, study
from streams.drift.policy import read_policy

__all__ = ["Found", "backtest"]


@dataclass(frozen=True)
class Found:
    """What a backtest found, as data frames; times are UTC."""

    # A row for each firing.
    alerts: pl.DataFrame
    # A row for each policy: hits, false alerts, precision, recall, delays, with intervals at 95 %.
    policies: pl.DataFrame
    # A row for each alert that is not as it was then.
    differences: pl.DataFrame
    # How far devices were from their reference over time.
    scores: pl.DataFrame
    devices: pl.DataFrame
    # Power and delay by policy, kind of fault and strength.
    what_if: pl.DataFrame
    # The policy that a search chose, TOML; empty without one.
    best: str
    study: Study

    def to_html(self, path: Path | str) -> Path:
        """Write the page that tells all of it."""
        out = Path(path)
        out.write_text(page(self.study), encoding="utf-8")
        return out


def backtest(
    source: Path | str | Cluster,
    *,
    start: str | None = None,
    end: str | None = None,
    policies: Sequence[Path | str] | Mapping[str, str] = (),
    labels: Path | str | None = None,
    tolerance_minutes: float = 0.0,
    budget: float | None = None,
    grid: Mapping[str, Sequence[Any]] | None = None,
    tune_until: str | None = None,
    what_if: Mapping[str, Sequence[float]] | None = None,
    as_then: bool = False,
    processes: int = 1,
    warm_up_hours: float = 24.0,
) -> Found:
    """Judge a stretch of history again: of a cluster, an exported file or an archive folder.

    `policies` are files, or documents by name; the default policy where there are none. With a `budget` of false
    alerts per device-day, a search over `grid` finds the quickest policy that keeps to it.
    """
    search = None
    if budget is not None:
        search = Search(goal=Goal(budget)) if grid is None else Search(goal=Goal(budget), grid=grid)
    question = Question(
        span=span_of(start, end),
        candidates=_candidates(policies),
        incidents=() if labels is None else read_incidents(Path(labels)),
        labels_name=str(labels),
        tolerance_ms=round(tolerance_minutes * 60_000),
        search=search,
        tune_until_ms=None if tune_until is None else moment_ms(tune_until, name="tune_until"),
        what_if=None if what_if is None else WhatIf(kinds=what_if),
        as_then=as_then,
        processes=processes,
        warm_up_ms=round(warm_up_hours * 3_600_000),
    )
    found = study(_history(source), question)
    return Found(
        alerts=alerts_frame(found.stories()),
        policies=evaluation_frame(found.evaluations),
        differences=differences_frame(found.differences),
        scores=scores_frame(found.backtest),
        devices=devices_frame(found.backtest),
        what_if=pl.DataFrame([one.row() for one in found.power]),
        best=found.policy,
        study=found,
    )


def _history(source: Path | str | Cluster) -> History:
    return ClusterHistory(source) if isinstance(source, Cluster) else FileHistory(Path(source))


def _candidates(policies: Sequence[Path | str] | Mapping[str, str]) -> list[Candidate]:
    if isinstance(policies, Mapping):
        return [Candidate(name, document, read_policy(document)) for name, document in policies.items()]
    return read_candidates([Path(path) for path in policies])
