"""What became of one device over some days: its scores, its alerts, how its model fared."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas import feeds
from schemas.catalogue import topic_named
from schemas.cluster import Cluster
from schemas.columns import GridShape, columns
from schemas.drift_alert import DriftAlert
from schemas.drift_scores import DriftScores
from schemas.errors import DriftlineError
from schemas.feature_stats import FeatureStats
from schemas.fleet import Device
from schemas.grid import Baseline, Grid
from schemas.model_health import ModelHealth
from streams.drift.references import bin_name

__all__ = ["DeviceStory", "FeatureStory", "story_of"]

_DAY_MS = 86_400_000


@dataclass(slots=True)
class FeatureStory:
    """One feature: how far it was from its reference, and where its values lay."""

    name: str
    # Window end and PSI, where it was told.
    psi: list[tuple[int, float]] = field(default_factory=list)
    worst: str = "stable"
    # Bin, share in the reference, share in these days; empty where a baseline or roll-ups are missing.
    shares: list[tuple[str, float, float]] = field(default_factory=list)

    @property
    def highest(self) -> float:
        return max((value for _, value in self.psi), default=0.0)


@dataclass(frozen=True, slots=True)
class DeviceStory:
    """All of it, features that moved most first."""

    device_id: str
    device: Device | None
    from_ms: int
    to_ms: int
    windows: int
    features: Sequence[FeatureStory]
    # Window end and score over all features together.
    together: Sequence[tuple[int, float]]
    alerts: Sequence[DriftAlert]
    health: Sequence[ModelHealth]


def story_of(cluster: Cluster, device_id: str, *, days: float) -> DeviceStory:
    """Read a device's story from the topics; raises when they know nothing of it."""
    to_ms = time.time_ns() // 1_000_000
    from_ms = int(to_ms - days * _DAY_MS)
    device = feeds.snapshot(cluster, "fleet.devices", keys={device_id}).get(device_id)
    scores: list[DriftScores] = _of_device(cluster, "drift.scores", device_id, from_ms)
    health: list[ModelHealth] = _of_device(cluster, "telemetry.model-health", device_id, from_ms)
    alerts = [
        alert
        for alert in feeds.snapshot(cluster, "drift.alerts").values()
        if device_id in (alert.subject, *alert.members) and alert.changed_ms >= from_ms
    ]
    if device is None and not scores and not health and not alerts:
        raise DriftlineError(
            f"nothing is known of device {device_id!r} in {days:g} days",
            hint="`driftline fleet list` shows the devices",
        )
    fast_ms = min((one.horizon_ms for one in scores), default=0)
    fast = sorted((one for one in scores if one.horizon_ms == fast_ms), key=lambda one: one.window_end_ms)
    features = _features(fast)
    if fast:
        _lay_side_by_side(cluster, device_id, fast[-1], features, from_ms)
    return DeviceStory(
        device_id=device_id,
        device=device,
        from_ms=from_ms,
        to_ms=to_ms,
        windows=len(fast),
        features=sorted(features.values(), key=lambda one: -one.highest),
        together=[(one.window_end_ms, one.device_scores.get("multivariate", 0.0)) for one in fast],
        alerts=sorted(alerts, key=lambda alert: alert.opened_ms),
        health=sorted(health, key=lambda one: one.window_end_ms),
    )


def _features(fast: Sequence[DriftScores]) -> dict[str, FeatureStory]:
    features: dict[str, FeatureStory] = {}
    gravity = ("unknown", "not_enough_data", "stable", "warning", "drift")
    for one in fast:
        for scored in one.features:
            mine = features.setdefault(scored.feature, FeatureStory(scored.feature))
            mine.worst = max(mine.worst, scored.verdict.value, key=gravity.index)
            if "psi" in scored.scores:
                mine.psi.append((one.window_end_ms, scored.scores["psi"]))
    return features


def _lay_side_by_side(
    cluster: Cluster, device_id: str, last: DriftScores, features: Mapping[str, FeatureStory], from_ms: int
) -> None:
    """Lay what was seen, as the roll-ups have it, beside what the baseline has."""
    grid: Grid | None = feeds.snapshot(cluster, "models.grids", keys={last.grid_id}).get(last.grid_id)
    baselines = feeds.snapshot(cluster, "models.baselines", keys={last.baseline_id})
    baseline: Baseline | None = baselines.get(last.baseline_id)
    if grid is None or baseline is None:
        return
    shape = GridShape(features=len(grid.features), bins=grid.bins)
    seen: dict[tuple[int, int], FeatureStats] = {}
    with feeds.follow(cluster, "telemetry.feature-rollups", from_ms=from_ms, until_current=True) as log:
        for event in log:
            if isinstance(event, feeds.Changed) and event.value.device_id == device_id:
                rollup: FeatureStats = event.value
                if rollup.grid_id == grid.grid_id:
                    seen[rollup.window_start_ms, rollup.arrival_hour_ms] = rollup
    if not seen:
        return
    counts = sum(columns(one, shape).counts.astype("int64") for one in seen.values())
    for place, (declared, reference) in enumerate(zip(grid.features, baseline.features, strict=True)):
        story = features.get(declared.name)
        mine, theirs = counts[place], reference.counts  # type: ignore[index]
        if story is not None and mine.sum() and sum(theirs):
            used = max(len(declared.edges), len(declared.categories)) + 1
            story.shares = [
                (bin_name(declared, bin_), theirs[bin_] / sum(theirs), float(mine[bin_] / mine.sum()))
                for bin_ in range(min(used, grid.bins))
            ]


def _of_device(cluster: Cluster, topic: str, device_id: str, from_ms: int) -> list[Any]:
    number = feeds.partition_of(device_id, topic_named(topic).partitions)
    options = {"keys": {device_id}, "partitions": [number], "until_current": True}
    with feeds.follow(cluster, topic, from_ms=from_ms, **options) as log:  # type: ignore[arg-type]
        # The newest of each window: a worker that took over tells some again.
        told = defaultdict(dict)  # type: ignore[var-annotated]
        for event in log:
            if isinstance(event, feeds.Changed):
                one = event.value
                told[getattr(one, "horizon_ms", 0)][one.boot_id, one.seq, one.window_end_ms] = one
    return [one for windows in told.values() for one in windows.values()]
