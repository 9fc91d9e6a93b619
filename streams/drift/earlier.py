"""A device's own earlier window as the reference of what came after it."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from streams.drift.references import ScoredAgainst
from streams.drift.scores import Floats, Reference
from streams.drift.slow import Past

__all__ = ["earlier"]

_DISPERSIONS = ("dispersion_counts", "dispersion_mean", "dispersion_variance")


def earlier(against: ScoredAgainst, horizon_ms: int, past: Past) -> Reference:
    """Return what each device is compared with, a row each; empty for one whose past is not long enough.

    How far stretches of a horizon's length wobble is the baseline's knowledge. The past wobbles too, as stretches of
    its own length do: it counts as so many samples fewer.
    """
    reference, totals = against.over(horizon_ms), past.totals
    weight = past.is_there[:, np.newaxis] / _more_dispersed(reference, against.over(past.span_ms))
    counts = totals.counts.transpose(1, 0, 2) * weight
    usable = counts.sum(axis=0)
    held = totals.counts.sum(axis=1)
    variance = totals.m2 / np.maximum(held - 1, 1)
    # Codes of categories have no mean.
    codes = np.isnan(reference.mean)
    rows = _for_each(reference, len(past.is_there))
    return replace(
        rows,
        counts=_single(counts),
        missing=_single(totals.missing * weight),
        out_of_range=_single(totals.out_of_range * weight),
        mean=_single(np.where(codes, np.nan, totals.mean)),
        m2=_single(np.where(codes, np.nan, variance * np.maximum(usable - 1, 0))),
    )


def _more_dispersed(horizon: Reference, past: Reference) -> Floats:
    """How many times as much the past wobbles as the horizon, of the ways to wobble the most."""
    ratios = [getattr(past, name) / getattr(horizon, name) for name in _DISPERSIONS]
    most: Floats = np.maximum(np.max(ratios, axis=0), 1)
    return most


def _for_each(reference: Reference, devices: int) -> Reference:
    """Give each device a row of its own, without a copy."""
    return Reference(**{one.name: _repeated(getattr(reference, one.name), devices) for one in fields(Reference)})


def _repeated(values: npt.NDArray[Any], devices: int) -> npt.NDArray[Any]:
    return np.broadcast_to(values, (*values.shape[:-2], devices, values.shape[-1]))


def _single(values: npt.NDArray[np.floating]) -> Floats:
    return np.ascontiguousarray(values, np.float32)
