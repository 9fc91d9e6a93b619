"""A device's story as one HTML page that needs nothing else."""

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape

from driftline.device_story import DeviceStory, FeatureStory
from driftline.times import utc
from schemas.drift_alert import DriftAlert
from schemas.model_health import ModelHealth
from streams.svg import COLOURS, Axis, Plot, moments, numbers

__all__ = ["story_page"]

_MOST_FEATURES = 12
_ALERT, _REFERENCE, _SEEN = "#d1242f", "#8c959f", "#1f6feb"
_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem } h3 { font-size: 1rem; margin: 1.4rem 0 .2rem }
table { border-collapse: collapse } td, th { padding: .15rem .9rem .15rem 0; text-align: left; vertical-align: top }
svg { width: 100%; height: auto } svg text { font: 11px system-ui, sans-serif; fill: currentColor }
.quiet { opacity: .7 }
"""

_HEALTH: Sequence[tuple[str, Callable[[ModelHealth], float]]] = (
    ("share of anomalies", lambda one: one.anomalies / one.inferences if one.inferences else math.nan),
    ("mean confidence", lambda one: one.confidence_mean),
    ("latency p99, ms", lambda one: one.latency_p99_ms),
)


def story_page(story: DeviceStory) -> str:
    """Return the page."""
    body = "".join([*_head(story), *_alerts(story), *_drift(story), *_health(story)])
    title = escape(f"{story.device_id}: {_days(story)}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style><body>{body}</body></html>\n"
    )


def _head(story: DeviceStory) -> Iterator[str]:
    yield f"<h1>{escape(story.device_id)}</h1><p>{utc(story.from_ms)} to {utc(story.to_ms)}</p>"
    if story.device is not None:
        labels = " ".join(f"{name}={value}" for name, value in sorted(story.device.labels.items()))
        yield _table(
            [("model", story.device.model_id), ("state", story.device.state.value), ("labels", labels),
             ("last seen", utc(story.device.last_seen_ms) if story.device.last_seen_ms else "never")]
        )  # fmt: skip


def _alerts(story: DeviceStory) -> Iterator[str]:
    yield "<h2>Alerts</h2>"
    if not story.alerts:
        yield '<p class="quiet">None.</p>'
        return
    rows = [
        (utc(one.opened_ms), one.state.value, one.severity.value, one.feature, one.kind.replace("_", " "), one.summary)
        for one in story.alerts
    ]
    yield _table(rows, head=("since", "state", "severity", "feature", "kind", "what"))


def _drift(story: DeviceStory) -> Iterator[str]:
    yield f"<h2>Drift</h2><p>{story.windows} windows were told of.</p>"
    if not story.windows:
        return
    time = _time(story)
    together = Plot(time, _up_to([value for _, value in story.together], "all features together"), height=180)
    _mark(together, story.alerts)
    together.line([(float(at_ms), value) for at_ms, value in story.together], COLOURS[0])
    yield together.svg
    for place, feature in enumerate(story.features[:_MOST_FEATURES]):
        yield f"<h3>{escape(feature.name)}: {escape(feature.worst.replace('_', ' '))}</h3>"
        plot = Plot(time, _up_to([*(value for _, value in feature.psi), 0.3], "PSI"), height=170, title=feature.name)
        _mark(plot, [alert for alert in story.alerts if alert.feature == feature.name])
        colour = COLOURS[place % len(COLOURS)]
        plot.line([(float(at_ms), value) for at_ms, value in feature.psi], colour)
        plot.dots(
            [(float(at_ms), value, f"{utc(at_ms)}: {value:.3g}") for at_ms, value in feature.psi], colour, radius=2
        )
        yield plot.svg
        if feature.shares:
            yield _distribution(feature)
    left = len(story.features) - _MOST_FEATURES
    if left > 0:
        yield f'<p class="quiet">{left} more features moved less.</p>'


def _distribution(feature: FeatureStory) -> str:
    """Draw the reference's shares beside those of these days."""
    highest = max(max(before, now) for _, before, now in feature.shares)
    bins = Axis(0, len(feature.shares), "grey: reference, blue: these days")
    plot = Plot(bins, numbers(0, highest * 1.05, name="share"), height=150, title=f"{feature.name}: distribution")
    for place, (name, before, now) in enumerate(feature.shares):
        plot.cell(place + 0.1, place + 0.48, 0, before, _REFERENCE, tip=f"{name}: reference {before:.1%}")
        plot.cell(place + 0.52, place + 0.9, 0, now, _SEEN, tip=f"{name}: these days {now:.1%}")
    return plot.svg


def _health(story: DeviceStory) -> Iterator[str]:
    if not story.health:
        return
    yield "<h2>Model health</h2>"
    for place, (name, value_of) in enumerate(_HEALTH):
        points = [(float(one.window_end_ms), value_of(one)) for one in story.health]
        known = [value for _, value in points if math.isfinite(value)]
        if known:
            plot = Plot(_time(story), _up_to(known, name), height=170, title=name)
            _mark(plot, story.alerts)
            plot.line(points, COLOURS[place])
            yield plot.svg


def _mark(plot: Plot, alerts: Sequence[DriftAlert]) -> None:
    for alert in alerts:
        plot.mark(alert.opened_ms, _ALERT, tip=f"{utc(alert.opened_ms)}: {alert.summary}")


def _time(story: DeviceStory) -> Axis:
    """An axis over what was told, not over days in which there was nothing."""
    ends = [*(at_ms for at_ms, _ in story.together), *(one.window_end_ms for one in story.health)]
    return moments(min(ends), max(ends), lambda at_ms: utc(at_ms)[5:16])


def _up_to(values: Sequence[float], name: str) -> Axis:
    return numbers(min(0.0, *values), max(*values, 1e-6) * 1.05, name=name)


def _days(story: DeviceStory) -> str:
    return f"{(story.to_ms - story.from_ms) / 86_400_000:g} days"


def _table(rows: Sequence[Sequence[str]], *, head: Sequence[str] = ()) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{f'<tr>{top}</tr>' if top else ''}{lines}</table>"
