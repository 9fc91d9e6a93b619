"""How good alerts are, by episodes: an incident is hit once, however often it is told of.

It keeps these rules:

* a firing within an incident's window (with a tolerance on both sides) hits it, on its device and, where the
  incident names them, of its feature and kind;
* every firing outside all windows is false, those after the last incident too;
* a further firing within a window is neither a hit nor false;
* an alert that fired before the window and merely goes on is no hit.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from streams.backtest.incidents import Incident
from streams.backtest.intervals import rate_interval, share_interval
from streams.backtest.logbook import DeviceNotes
from streams.backtest.span import Span
from streams.backtest.stories import Story

__all__ = ["Evaluation", "always_firing", "evaluate", "never_firing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What one policy's alerts were worth on some stretch."""

    policy: str
    incidents: int
    hits: int
    false_alerts: int
    device_days: float
    # From an incident's start to its first firing, of those that were hit; 0 for a firing before it, within tolerance.
    delays_ms: tuple[int, ...] = ()
    # The same of all incidents: one that was missed counts with its whole length.
    censored_delay_ms: float = math.nan

    @property
    def precision(self) -> float:
        """Hits among hits and false alerts; NaN where there was neither."""
        told = self.hits + self.false_alerts
        return self.hits / told if told else math.nan

    @property
    def recall(self) -> float:
        """Incidents that were hit; NaN without incidents."""
        return self.hits / self.incidents if self.incidents else math.nan

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where nothing was hit."""
        if not self.incidents:
            return math.nan
        return 2 * self.hits / (self.hits + self.false_alerts + self.incidents)

    @property
    def false_per_device_day(self) -> float:
        return self.false_alerts / self.device_days if self.device_days else math.nan

    @property
    def median_delay_ms(self) -> float:
        return float(median(self.delays_ms)) if self.delays_ms else math.nan

    def row(self) -> dict[str, float | int | str]:
        """Return everything as one row of a table."""
        told = self.hits + self.false_alerts
        precision, recall = share_interval(self.hits, told), share_interval(self.hits, self.incidents)
        rate = rate_interval(self.false_alerts, self.device_days)
        return {
            "policy": self.policy,
            "incidents": self.incidents,
            "hits": self.hits,
            "false_alerts": self.false_alerts,
            "device_days": self.device_days,
            "precision": self.precision,
            "precision_low": precision[0],
            "precision_high": precision[1],
            "recall": self.recall,
            "recall_low": recall[0],
            "recall_high": recall[1],
            "f1": self.f1,
            "false_per_device_day": self.false_per_device_day,
            "false_per_device_day_low": rate[0],
            "false_per_device_day_high": rate[1],
            "median_delay_s": self.median_delay_ms / 1000,
            "censored_delay_s": self.censored_delay_ms / 1000,
        }


def evaluate(
    policy: str,
    stories: Sequence[Story],
    incidents: Sequence[Incident],
    *,
    device_days: float,
    tolerance_ms: int = 0,
    within: Span | None = None,
) -> Evaluation:
    """Hold alerts against incidents; with `within`, only firings and incidents that begin there count."""
    counted = [one for one in incidents if within is None or one.from_ms in within]
    first: dict[int, int] = {}
    false_alerts = 0
    of_device: dict[str, list[tuple[int, Incident]]] = {}
    # An incident from before the stretch excuses firings within its window, though it is not counted itself.
    places = {id(one): place for place, one in enumerate(counted)}
    for one in incidents:
        of_device.setdefault(one.device_id, []).append((places.get(id(one), -1), one))
    for story in stories:
        for firing in story.firings:
            if within is not None and firing.from_ms not in within:
                continue
            hit = [
                place
                for place, one in of_device.get(story.subject, ())
                if _is_of(story, one) and one.from_ms - tolerance_ms <= firing.from_ms <= one.to_ms + tolerance_ms
            ]
            false_alerts += not hit
            for place in hit:
                first[place] = min(first.get(place, firing.from_ms), firing.from_ms)
    first.pop(-1, None)
    delays = {place: max(0, at_ms - counted[place].from_ms) for place, at_ms in first.items()}
    waits = [delays.get(place, one.to_ms + tolerance_ms - one.from_ms) for place, one in enumerate(counted)]
    return Evaluation(
        policy=policy, incidents=len(counted), hits=len(delays), false_alerts=false_alerts, device_days=device_days,
        delays_ms=tuple(sorted(delays.values())), censored_delay_ms=sum(waits) / len(waits) if waits else math.nan,
    )  # fmt: skip


def never_firing(incidents: Sequence[Incident], *, device_days: float, tolerance_ms: int = 0) -> Evaluation:
    """Return what silence would be worth: a floor."""
    waits = [one.to_ms + tolerance_ms - one.from_ms for one in incidents]
    return Evaluation(
        policy="(never fires)", incidents=len(incidents), hits=0, false_alerts=0, device_days=device_days,
        censored_delay_ms=sum(waits) / len(waits) if waits else math.nan,
    )  # fmt: skip


def always_firing(
    incidents: Sequence[Incident], devices: Mapping[str, DeviceNotes], *, device_days: float, tolerance_ms: int = 0
) -> Evaluation:
    """Return what an alert with every window would be worth: a floor. It hits all, and is false in healthy times."""
    windows = sum(one.windows for one in devices.values())
    covered_ms = sum(one.covered_ms for one in devices.values())
    excused_ms = sum(_excused_ms(device, incidents, tolerance_ms) for device in devices)
    healthy = max(0.0, 1 - excused_ms / covered_ms) if covered_ms else 0.0
    return Evaluation(
        policy="(always fires)", incidents=len(incidents), hits=len(incidents), false_alerts=round(windows * healthy),
        device_days=device_days, delays_ms=(0,) * len(incidents), censored_delay_ms=0.0 if incidents else math.nan,
    )  # fmt: skip


def _is_of(story: Story, incident: Incident) -> bool:
    return incident.feature in ("", story.feature) and incident.kind in ("", story.kind)


def _excused_ms(device: str, incidents: Sequence[Incident], tolerance_ms: int) -> int:
    """Return how much of a device's time lies within incidents, overlaps counted once."""
    windows = sorted(
        (one.from_ms - tolerance_ms, one.to_ms + tolerance_ms) for one in incidents if one.device_id == device
    )
    total, reached = 0, -math.inf
    for start, end in windows:
        total += int(max(0, end - max(start, reached)))
        reached = max(reached, end)
    return total
