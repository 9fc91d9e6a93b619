"""The plots of a study."""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from streams.backtest.evaluation import Evaluation
from streams.backtest.incidents import Incident
from streams.backtest.logbook import Noted
from streams.backtest.power import Power
from streams.backtest.search import pareto
from streams.backtest.span import told_moment
from streams.backtest.stories import Story
from streams.svg import COLOURS, Plot, moments, numbers

__all__ = ["heat_map", "pareto_chart", "power_plot", "timeline"]

_MINUTE_MS = 60_000
_HEAT = ((0.0, "#eef4ff"), (0.05, "#c2d9ff"), (0.1, "#7fb0ff"), (0.2, "#ffb35c"), (0.3, "#f0662e"), (0.6, "#b3111f"))
_MOST_COLUMNS = 240


def timeline(device: str, scores: Sequence[Noted], stories: Sequence[Story], incidents: Sequence[Incident]) -> str:
    """Plot one device's score over time, with its alerts as lines and what happened as bands."""
    low, high = min(one.at_ms for one in scores), max(one.at_ms for one in scores)
    plot = Plot(
        moments(low, high, told_moment), numbers(0, max(0.3, *(one.psi for one in scores)), name=f"{device}: PSI"),
        title=f"scores of {device}", height=200,
    )  # fmt: skip
    for incident in incidents:
        plot.band(incident.from_ms, incident.to_ms, COLOURS[3], tip=incident.name or "incident")
    plot.line([(one.at_ms, one.psi) for one in scores], COLOURS[0], name=device)
    for story in stories:
        for firing in story.firings:
            tip = f"{story.severity} {story.kind} in {story.feature}, {told_moment(firing.from_ms)}"
            if low <= firing.from_ms <= high:
                plot.mark(firing.from_ms, COLOURS[1], tip=tip)
    return plot.svg


def heat_map(scores: Sequence[Noted], devices: Sequence[str]) -> str:
    """Plot devices over time, each cell the highest score of its stretch."""
    low, high = min(one.at_ms for one in scores), max(one.at_ms for one in scores) + 1
    breadth = max((high - low) / _MOST_COLUMNS, 1)
    # A score stands for its device until the next one.
    lasting = max(breadth, 1.1 * _usual_gap_ms(scores))
    row_of = {device: len(devices) - 1 - place for place, device in enumerate(devices)}
    highest: dict[tuple[int, int], Noted] = {}
    for one in scores:
        if one.device_id in row_of:
            key = row_of[one.device_id], int((one.at_ms - low) // breadth)
            if key not in highest or highest[key].psi < one.psi:
                highest[key] = one
    x, y = moments(low, high, told_moment), numbers(0, len(devices))
    names = [(row + 0.5, device[:10]) for device, row in row_of.items()]
    every = max(1, len(names) // 24)
    plot = Plot(
        x, type(y)(0, len(devices), ticks=names[::every]), height=max(120, min(900, 60 + 14 * len(devices))),
        title="heat map of devices over time",
    )  # fmt: skip
    for (row, column), one in sorted(highest.items()):
        left = low + column * breadth
        tip = f"{one.device_id}, {told_moment(one.at_ms)}: PSI {one.psi:.3f} in {one.feature}"
        plot.cell(left, min(left + lasting, high), row, row + 1, _heat(one.psi), tip=tip)
    return plot.svg


def pareto_chart(evaluations: Sequence[Evaluation], chosen: str = "") -> str:
    """Plot false alerts against delay, the front as a line."""
    shown = [one for one in evaluations if math.isfinite(one.censored_delay_ms) and one.device_days]
    if not shown:
        return ""
    # None at all has no place on a logarithmic axis: it stands where a half would be.
    least = 0.5 / max(one.device_days for one in shown)

    def rate(one: Evaluation) -> float:
        return max(one.false_per_device_day, least)

    delays = [one.censored_delay_ms / _MINUTE_MS for one in shown]
    plot = Plot(
        numbers(least, max(rate(one) for one in shown) * 2, name="false alerts per device-day", logarithmic=True),
        numbers(0, max(delays) * 1.05, name="mean delay, minutes; a miss counts whole"), title="Pareto chart",
    )  # fmt: skip
    front = pareto(shown)
    plot.line([(rate(one), one.censored_delay_ms / _MINUTE_MS) for one in front], COLOURS[2], name="not beaten in both")
    for one in shown:
        told = f"{one.policy}: {one.false_per_device_day:.2g} a device-day, {one.hits} of {one.incidents} hit"
        point = (rate(one), one.censored_delay_ms / _MINUTE_MS, told)
        best = one.policy == chosen
        plot.dots([point], COLOURS[1] if best else COLOURS[0], radius=6 if best else 3)
    return plot.svg


def power_plot(points: Sequence[Power], kind: str, *, delay: bool) -> str:
    """Plot the power curves of one kind of fault, or its delay curves, a line for each policy."""
    mine = [one for one in points if one.kind == kind]
    policies = list(dict.fromkeys(one.policy for one in mine))

    def value(one: Power) -> float:
        return one.median_delay_ms / _MINUTE_MS if delay else one.found / one.injected

    known = [value(one) for one in mine if math.isfinite(value(one))]
    top = max(known, default=1.0) if delay else 1.0
    strengths = [one.strength for one in mine]
    plot = Plot(
        numbers(min(0.0, *strengths), max(strengths) * 1.02, name=f"strength of {kind}"),
        numbers(0, top * 1.05 or 1, name="median delay, minutes" if delay else "share found"), width=420,
        title=f"{'delay' if delay else 'power'} of {kind}",
    )  # fmt: skip
    for place, policy in enumerate(policies):
        colour = COLOURS[place % len(COLOURS)]
        curve = [one for one in mine if one.policy == policy]
        plot.line([(one.strength, value(one)) for one in curve], colour, name=policy)
        plot.dots([(one.strength, value(one), f"{policy}: {one.found} of {one.injected}") for one in curve], colour)
    return plot.svg


def _usual_gap_ms(scores: Sequence[Noted]) -> float:
    ordered = sorted(scores, key=lambda one: (one.device_id, one.at_ms))
    gaps = [after.at_ms - one.at_ms for one, after in pairwise(ordered) if one.device_id == after.device_id]
    return median(gaps) if gaps else 0.0


def _heat(psi: float) -> str:
    return next(colour for from_psi, colour in reversed(_HEAT) if psi >= from_psi or not from_psi)
