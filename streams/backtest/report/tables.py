"""A study's tables, as rows for people: on a terminal and on a page."""

import math
from collections.abc import Mapping, Sequence

from streams.backtest.comparison import Difference
from streams.backtest.evaluation import Evaluation
from streams.backtest.intervals import rate_interval, share_interval
from streams.backtest.span import told_moment
from streams.backtest.stories import Story

__all__ = ["best_first", "differing", "evaluated", "firings"]

Row = dict[str, str]


def best_first(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Put those that hit most first, then those with fewest false alerts, then the quickest; floors last."""

    def rank(one: Evaluation) -> tuple[bool, int, int, float]:
        delay_ms = 0.0 if math.isnan(one.censored_delay_ms) else one.censored_delay_ms
        return one.policy.startswith("("), -one.hits, one.false_alerts, delay_ms

    return sorted(evaluations, key=rank)


def evaluated(evaluations: Sequence[Evaluation]) -> list[Row]:
    """Return a row for each policy, intervals at 95 % beside."""
    return [
        {
            "policy": one.policy,
            "hits": f"{one.hits} of {one.incidents}",
            "precision": _share(one.hits, one.hits + one.false_alerts),
            "recall": _share(one.hits, one.incidents),
            "F1": "–" if math.isnan(one.f1) else f"{one.f1:.2f}",
            "median delay": told_length(one.median_delay_ms),
            "delay, misses whole": told_length(one.censored_delay_ms),
            "false": str(one.false_alerts),
            "false per 1,000 device-days": _rate(one.false_alerts, one.device_days),
        }
        for one in evaluations
    ]


def firings(stories: Mapping[str, Sequence[Story]]) -> list[Row]:
    """Return a row for each firing."""
    return [
        {
            "policy": policy,
            "device": story.subject,
            "feature": story.feature,
            "kind": story.kind,
            "severity": story.severity,
            "fired": told_moment(firing.from_ms),
            "resolved": "" if firing.to_ms is None else told_moment(firing.to_ms),
        }
        for policy, told in stories.items()
        for story in told
        for firing in story.firings
    ]


def differing(differences: Sequence[Difference]) -> list[Row]:
    """Return a row for each alert that is not as it was."""
    return [
        {
            "what": one.what,
            "device": one.subject,
            "feature": one.feature,
            "kind": one.kind,
            "then": "" if one.then_ms is None else told_moment(one.then_ms),
            "now": "" if one.now_ms is None else told_moment(one.now_ms),
        }
        for one in differences
    ]


def told_length(length_ms: float) -> str:
    """Write a length of time as people do.

    >>> told_length(90_000.0), told_length(7_200_000.0), told_length(float("nan"))
    ('1.5 min', '2.0 h', '–')
    """
    if math.isnan(length_ms):
        return "–"
    minutes = length_ms / 60_000
    return f"{minutes:.1f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def _share(part: int, whole: int) -> str:
    if not whole:
        return "–"
    low, high = share_interval(part, whole)
    return f"{part / whole:.0%} ({low:.0%}-{high:.0%})"


def _rate(count: int, device_days: float) -> str:
    if not device_days:
        return "–"
    low, high = rate_interval(count, device_days)
    return f"{1000 * count / device_days:,.1f} ({1000 * low:,.1f}-{1000 * high:,.1f})"
