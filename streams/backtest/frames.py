"""What a backtest found, as Polars data frames."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from streams.backtest.comparison import Difference
from streams.backtest.evaluation import Evaluation
from streams.backtest.running import Backtest
from streams.backtest.stories import Story

__all__ = ["alerts_frame", "devices_frame", "differences_frame", "evaluation_frame", "scores_frame"]

_MOMENT = pl.Datetime("ms", "UTC")


def alerts_frame(stories: Mapping[str, Sequence[Story]]) -> pl.DataFrame:
    """One row for each firing, by policy and in order of time; `resolved` is null while it goes on."""
    schema = {
        "policy": pl.String, "alert_id": pl.String, "device": pl.String, "feature": pl.String, "kind": pl.String,
        "model": pl.String, "severity": pl.String, "opened": _MOMENT, "fired": _MOMENT, "resolved": _MOMENT,
    }  # fmt: skip
    rows = [
        (
            policy, story.alert_id, story.subject, story.feature, story.kind, story.model_id, story.severity,
            story.opened_ms, firing.from_ms, firing.to_ms,
        )
        for policy, told in stories.items()
        for story in told
        for firing in story.firings
    ]  # fmt: skip
    return _frame(rows, schema)


def differences_frame(differences: Mapping[str, Iterable[Difference]]) -> pl.DataFrame:
    """One row for each alert that is not as it was then, by policy."""
    schema = {
        "policy": pl.String, "what": pl.String, "device": pl.String, "feature": pl.String, "kind": pl.String,
        "then": _MOMENT, "now": _MOMENT,
    }  # fmt: skip
    rows = [
        (policy, one.what, one.subject, one.feature, one.kind, one.then_ms, one.now_ms)
        for policy, found in differences.items()
        for one in found
    ]
    return _frame(rows, schema)


def evaluation_frame(evaluations: Iterable[Evaluation]) -> pl.DataFrame:
    """One row for each policy."""
    return pl.DataFrame([one.row() for one in evaluations], infer_schema_length=None)


def devices_frame(backtest: Backtest) -> pl.DataFrame:
    """One row for each device that has windows in the range."""
    schema = {"device": pl.String, "windows": pl.Int64, "days": pl.Float64, "first": _MOMENT, "last": _MOMENT}
    rows = [(name, one.windows, one.days, one.first_ms, one.last_ms) for name, one in backtest.devices.items()]
    return _frame(rows, schema)


def scores_frame(backtest: Backtest) -> pl.DataFrame:
    """How far devices were from their reference, once a step: the feature that was furthest, and its PSI."""
    schema = {"device": pl.String, "at": _MOMENT, "feature": pl.String, "psi": pl.Float64, "ks": pl.Float64}
    rows = [(one.device_id, one.at_ms, one.feature, one.psi, one.ks) for one in backtest.scores]
    return _frame(rows, schema)


def _frame(rows: Sequence[tuple[Any, ...]], schema: Mapping[str, Any]) -> pl.DataFrame:
    plain = {name: pl.Int64 if kind is _MOMENT else kind for name, kind in schema.items()}
    frame = pl.DataFrame(rows, schema=plain, orient="row")
    return frame.with_columns(pl.col(name).cast(_MOMENT) for name, kind in schema.items() if kind is _MOMENT)
