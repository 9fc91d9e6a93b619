"""A study as plain values, for JSON, and as Parquet files."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from streams.backtest.frames import alerts_frame, devices_frame, differences_frame, evaluation_frame, scores_frame
from streams.backtest.study import Study

__all__ = ["plain", "write_parquet"]


def plain(study: Study) -> dict[str, Any]:
    """Return everything but the scores; times are milliseconds since 1970, what is unknown is null."""
    backtest = study.backtest
    found = {
        "range": {"from_ms": backtest.span.from_ms, "to_ms": backtest.span.to_ms},
        "records": backtest.counts.records,
        "judged": backtest.counts.tally.judged,
        "repeated": backtest.counts.tally.repeated,
        "late": backtest.counts.tally.late,
        "unreadable": backtest.counts.bad,
        "refused": backtest.counts.refused,
        "reasons": backtest.counts.reasons,
        "left_out": backtest.left_out,
        "devices": len(backtest.devices),
        "device_days": backtest.device_days,
        "notes": backtest.notes,
        "policies": [one.row() for one in study.evaluations],
        "tuned": [one.row() for one in study.tuned],
        "alerts": {name: [asdict(story) for story in told] for name, told in study.stories().items()},
        "published": None if backtest.published is None else [asdict(story) for story in backtest.published],
        "differences": {name: [asdict(one) for one in found] for name, found in study.differences.items()},
        "what_if": [one.row() for one in study.power],
        "best": None if study.best is None else {"name": study.best.name, "policy": study.policy},
    }
    known: dict[str, Any] = _known(found)
    return known


def write_parquet(study: Study, folder: Path) -> list[Path]:
    """Write alerts, differences, policies, devices and scores, a file each."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = {
        "alerts": alerts_frame(study.stories()),
        "differences": differences_frame(study.differences),
        "policies": evaluation_frame(study.evaluations),
        "devices": devices_frame(study.backtest),
        "scores": scores_frame(study.backtest),
    }
    paths = []
    for name, frame in frames.items():
        frame.write_parquet(folder / f"{name}.parquet")
        paths.append(folder / f"{name}.parquet")
    return paths


def _known(value: Any) -> Any:
    """Turn what is no number into null: JSON has none of those."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _known(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_known(one) for one in value]
    return value
