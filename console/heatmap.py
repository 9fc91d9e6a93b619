"""The map of device x feature drift, made small enough to look at: groups of devices, or the worst devices."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from console.fleet import Row

__all__ = ["heatmap"]


def heatmap(rows: Iterable[Row], *, by: str, limit: int, features: int = 40) -> dict[str, Any]:
    """Return columns (features, the most drifted first) and lines (groups or devices, the worst first).

    `by` is "device", "model", or a label's name. A cell is the largest PSI among the line's devices, None where all
    are below the report floor, and how many of them drift in that feature.
    """
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[_group(row, by)].append(row)
    columns = _columns(groups.values(), features)
    lines = [_line(name, members, columns) for name, members in groups.items()]
    lines.sort(key=lambda line: (-line["drifting"], -line["worst"], line["name"]))
    return {"by": by, "features": columns, "lines": lines[:limit], "left_out": max(0, len(lines) - limit)}


def _group(row: Row, by: str) -> str:
    match by:
        case "device":
            return row.device_id
        case "model":
            return row.model_id or "(none)"
        case _:
            return row.labels.get(by, "(none)")


def _columns(groups: Iterable[Sequence[Row]], most: int) -> list[str]:
    weight: dict[str, tuple[int, float]] = {}
    for members in groups:
        for row in members:
            for feature, psi in row.psi.items():
                drifting, worst = weight.get(feature, (0, 0.0))
                weight[feature] = (drifting + (feature in row.drifting), max(worst, psi or 0.0))
    return sorted(weight, key=lambda name: (-weight[name][0], -weight[name][1], name))[:most]


def _line(name: str, members: Sequence[Row], columns: Sequence[str]) -> dict[str, Any]:
    worst: dict[str, float] = {}
    drifting: dict[str, int] = {}
    for row in members:
        for feature, psi in row.psi.items():
            if psi is not None and psi > worst.get(feature, -1.0):
                worst[feature] = psi
        for feature in row.drifting:
            drifting[feature] = drifting.get(feature, 0) + 1
    return {
        "name": name,
        "devices": len(members),
        "drifting": sum(bool(row.drifting) for row in members),
        "worst": max(worst.values(), default=0.0),
        "cells": [{"psi": worst.get(feature), "drifting": drifting.get(feature, 0)} for feature in columns],
    }
