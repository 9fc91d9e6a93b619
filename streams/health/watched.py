"""One model on one device: all that is watched of it."""

from collections.abc import Mapping
from typing import Any

from streams.health.limit import LimitWatch
from streams.health.policy import HealthPolicy
from streams.health.quality import Estimate, Quality
from streams.health.series import SERIES
from streams.health.watch import Watch, WatchPolicy

__all__ = ["WatchedModel"]

# Windows, and outcomes, that say what is usual; and so many recent ones that are compared with it.
_WARM_UP, _WINDOW = 30, 10
_QUALITY_WARM_UP, _QUALITY_WINDOW = 50, 50
# Lives of a gateway whose repeats are still told.
_MOST_BOOTS = 16


class WatchedModel:
    """Detectors, limits and quality of one model on one device."""

    def __init__(self, policy: HealthPolicy) -> None:
        self.watches = {name: Watch(SERIES[name], watch) for name, watch in policy.watches.items()}
        self.limits = {name: LimitWatch(limit, **_spans(name)) for name, limit in policy.limits.items()}
        self.quality, self.estimate = Quality(window=policy.outcomes), Estimate(window=policy.outcomes)
        self.newest_ms = -1
        # The highest `seq` of each life of the gateway that was looked at.
        self._seen: dict[str, int] = {}

    def is_new(self, boot_id: str, seq: int) -> bool:
        """Say whether a window has not been looked at, and note that it now is."""
        if seq <= self._seen.get(boot_id, -1):
            return False
        self._seen[boot_id] = seq
        if len(self._seen) > _MOST_BOOTS:
            del self._seen[next(iter(self._seen))]
        return True

    def take_up(self, policy: HealthPolicy) -> None:
        """Go by another policy: what is watched otherwise than before begins anew."""
        self.watches = {
            name: self.watches[name] if self._is_watched_so(name, watch) else Watch(SERIES[name], watch)
            for name, watch in policy.watches.items()
        }
        self.limits = {
            name: self.limits.get(name) or LimitWatch(limit, **_spans(name)) for name, limit in policy.limits.items()
        }
        for name, limit in policy.limits.items():
            self.limits[name].under(limit)
        for kept in (self.quality, self.estimate):
            kept.window = policy.outcomes
            kept.trim()

    def state(self) -> dict[str, Any]:
        """Return what `restored` needs, as plain values and bytes."""
        return {
            "watches": {name: watch.state() for name, watch in self.watches.items()},
            "limits": {name: limit.state() for name, limit in self.limits.items()},
            "outcomes": [list(one) for one in self.quality.outcomes],
            "decisions": [list(one) for one in self.estimate.decisions],
            "newest_ms": self.newest_ms,
            "seen": self._seen,
        }

    @classmethod
    def restored(cls, policy: HealthPolicy, state: Mapping[str, Any]) -> "WatchedModel":
        """Build the model again under the policy by which it was watched."""
        model = cls(policy)
        for name, told in state["watches"].items():
            model.watches[name] = Watch.restored(SERIES[name], policy.watches[name], told)
        for name, told in state["limits"].items():
            model.limits[name] = LimitWatch.restored(policy.limits[name], told, **_spans(name))
        model.quality.outcomes.extend((bool(said), bool(truth), sure) for said, truth, sure in state["outcomes"])
        model.estimate.decisions.extend((bool(said), sure) for said, sure in state["decisions"])
        model.newest_ms, model._seen = state["newest_ms"], dict(state["seen"])
        return model

    def _is_watched_so(self, name: str, policy: WatchPolicy) -> bool:
        return name in self.watches and self.watches[name].policy == policy


def _spans(name: str) -> dict[str, int]:
    if name in SERIES:
        return {"warm_up": _WARM_UP, "window": _WINDOW}
    return {"warm_up": _QUALITY_WARM_UP, "window": _QUALITY_WINDOW}
