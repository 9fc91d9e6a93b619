"""The scores and verdicts of one window at a time, as a stream processor without matrix work would compute them.

Rings, PSI, KS, Jensen-Shannon, Wasserstein, mean shift, variance ratio, a scaled G statistic with Benjamini-Hochberg,
floors and persistence, by NumPy over 32 features at once; state is a plain dictionary, kept nowhere. Imports nothing
that a rival lacks.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["PerRecord"]

PANE_MS, PANES = 300_000, 3
FLOOR, ALPHA = 1e-4, 1e-5
PERSISTENCE, COMPLETE_EVERY = 2, 30


class PerRecord:
    """Every device's ring of 15 minutes."""

    def __init__(self, reference: Path) -> None:
        features = json.loads(reference.read_text())
        counts = np.array([one["counts"] for one in features], float)
        self.names = [one["name"] for one in features]
        self.share = np.maximum(counts / counts.sum(axis=1, keepdims=True), FLOOR)
        self.mean = np.array([one["mean"] for one in features])
        self.variance = np.array([one["variance"] for one in features])
        self.deviation = np.sqrt(self.variance)
        self.dispersion = np.array([one["dispersion"] for one in features])
        self.widths = np.diff(np.array([one["edges"] for one in features]), axis=1, append=3.0)
        self.samples = counts.sum(axis=1)
        self.devices: dict[str, _Ring] = {}

    def score(self, record: dict[str, Any]) -> bytes | None:
        """Take in a window; returns what is to be told of it, if anything is."""
        ring = self.devices.get(record["device_id"])
        if ring is None:
            ring = self.devices[record["device_id"]] = _Ring(*self.share.shape)
        n, counts, mean, m2 = ring.add(record)
        share = np.maximum(counts / counts.sum(axis=1, keepdims=True), FLOOR)
        moved, ratio = share - self.share, np.log(share / self.share)
        psi = (moved * ratio).sum(axis=1)
        across = np.abs(np.cumsum(moved, axis=1))
        ks = across.max(axis=1)
        middle = (share + self.share) / 2
        js = np.sqrt((share * np.log2(share / middle) + self.share * np.log2(self.share / middle)).sum(axis=1) / 2)
        wasserstein = (across[:, :-1] * self.widths).sum(axis=1) / self.deviation
        shift = (mean - self.mean) / self.deviation
        spread = m2 / max(n - 1, 1) / self.variance
        drifted = self._drifted(ring, counts, ratio, psi, shift, spread, n)
        ring.untold += 1
        notable = drifted | (psi >= 0.1) | (ks >= 0.15)
        if not notable.any() and ring.untold < COMPLETE_EVERY:
            return None
        listed = np.flatnonzero(notable) if notable.any() else np.arange(len(psi))
        ring.untold = 0
        scores = zip(psi, ks, js, wasserstein, shift, spread, strict=True)
        told = {self.names[at]: one for at, one in enumerate(scores) if at in set(listed.tolist())}
        return json.dumps({"device_id": record["device_id"], "samples": n, "features": told}).encode()

    def _drifted(
        self, ring: "_Ring", counts: Any, ratio: Any, psi: Any, shift: Any, spread: Any, n: int
    ) -> "np.ndarray[Any, np.dtype[np.bool_]]":
        bins = counts.shape[1]
        statistic = np.maximum(2 * (counts * ratio).sum(axis=1) / self.dispersion, 0)
        # Wilson and Hilferty's approximation of the chi-square distribution.
        spread_of = 2 / (9 * (bins - 1))
        standard = (np.cbrt(statistic / (bins - 1)) - (1 - spread_of)) / math.sqrt(spread_of)
        chance = np.array([math.erfc(one / math.sqrt(2)) / 2 for one in standard.tolist()])
        order = np.argsort(chance)
        below = chance[order] <= ALPHA * np.arange(1, len(chance) + 1) / len(chance)
        rejected = np.zeros(len(chance), bool)
        if below.any():
            rejected[order[: int(np.flatnonzero(below)[-1]) + 1]] = True
        corrected = psi - (1 / n + 1 / self.samples) * (bins - 1)
        breach = rejected & ((np.abs(shift) >= 0.15) | (spread >= 1.2) | (spread <= 1 / 1.2) | (corrected >= 0.04))
        ring.breaches = np.where(breach, ring.breaches + 1, 0)
        found: np.ndarray[Any, np.dtype[np.bool_]] = ring.breaches >= PERSISTENCE
        return found


class _Ring:
    """One device's panes."""

    def __init__(self, features: int, bins: int) -> None:
        self.pane = np.full(PANES, -1)
        self.samples = np.zeros(PANES)
        self.counts = np.zeros((PANES, features, bins))
        self.mean, self.m2 = np.zeros((PANES, features)), np.zeros((PANES, features))
        self.breaches, self.untold = np.zeros(features), 0

    def add(self, record: dict[str, Any]) -> tuple[int, Any, Any, Any]:
        """Take in a window; returns samples, counts, means and squared deviations over the panes."""
        features = self.mean.shape[1]
        pane = (record["window_end_ms"] - 1) // PANE_MS
        place = pane % PANES
        if self.pane[place] != pane:
            self.pane[place], self.samples[place] = pane, 0
            self.counts[place], self.mean[place], self.m2[place] = 0, 0, 0
        mean, m2 = (np.frombuffer(record[name], "<f4") for name in ("mean", "m2"))
        n, more = self.samples[place], record["samples"]
        apart = mean - self.mean[place]
        self.mean[place] += apart * (more / (n + more))
        self.m2[place] += m2 + apart**2 * (n * more / (n + more))
        self.counts[place] += record["counts"].reshape(features, -1)
        self.samples[place] += more
        held = (self.samples * (self.pane > pane - PANES))[:, np.newaxis]
        whole = (self.mean * held).sum(axis=0) / held.sum()
        spread = ((self.m2 + (self.mean - whole) ** 2 * held) * (held > 0)).sum(axis=0)
        counts = (self.counts * (held > 0)[:, :, np.newaxis]).sum(axis=0)
        return int(held.sum()), counts, whole, spread
