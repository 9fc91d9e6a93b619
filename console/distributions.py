"""A window beside its baseline, bin by bin."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

__all__ = ["distributions"]


def distributions(
    window: Mapping[str, Any], grid: Mapping[str, Any] | None, baseline: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return per feature the bins' names and their shares then and now; without a baseline, only now."""
    reference = {one["name"]: one["counts"] for one in (baseline or {}).get("features", ())}
    grids = {one["name"]: one for one in (grid or {}).get("features", ())}
    return {
        "window_end_ms": window["window_end_ms"],
        "samples": window["samples"],
        "baseline_id": (baseline or {}).get("baseline_id", ""),
        "features": [
            {
                "name": name,
                "bins": _names(grids.get(name), len(counts)),
                "live": _shares(counts),
                "reference": _shares(reference[name]) if name in reference else None,
            }
            for name, counts in window["counts"].items()
        ],
    }


def _shares(counts: Sequence[int]) -> list[float] | None:
    total = sum(counts)
    return [round(count / total, 5) for count in counts] if total else None


def _names(feature: Mapping[str, Any] | None, bins: int) -> list[str]:
    if feature is None:
        return [str(number) for number in range(bins)]
    if feature["kind"] == "categorical":
        names = [f"{code:g}" for code in feature["categories"]] + ["(unseen)"]
    else:
        edges = [f"{edge:.4g}" for edge in feature["edges"]]
        names = [f"≤ {edges[0]}", *(f"{low} – {high}" for low, high in pairwise(edges))]
        names.append(f"> {edges[-1]}")
    return (names + [""] * bins)[:bins]
