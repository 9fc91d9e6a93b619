"""One HTML page that says what a study found; it holds all that it shows."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from streams.backtest.report.plots import heat_map, pareto_chart, power_plot, timeline
from streams.backtest.report.tables import best_first, differing, evaluated, firings
from streams.backtest.study import Study
from streams.svg import COLOURS

__all__ = ["page"]

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1f2328;max-width:960px;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;font-size:13px;margin:.5em 0 1.5em;display:block;overflow-x:auto}
th,td{border-bottom:1px solid #d0d7de;padding:.3em .7em;text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}th{background:#f6f8fa}
svg{width:100%;height:auto;overflow:visible;font:11px system-ui,sans-serif;fill:#57606a}svg.half{width:49%}
h2{margin-top:2em;border-bottom:1px solid #d0d7de}pre{background:#f6f8fa;padding:1em;overflow-x:auto}
.note{color:#9a6700}.half svg{width:49%}
"""
_MOST_TIMELINES = 12
_MOST_ROWS = 500
# The others of a search are folded away.
_ROWS_AT_ONCE = 25
_MOST_DEVICES = 200


def page(study: Study) -> str:
    """Return the page."""
    body = "".join(
        (
            _head(study),
            _evaluations(study),
            _search(study),
            _power(study),
            _map(study),
            _timelines(study),
            _alerts(study),
        )
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        # Nothing is to be fetched, and nothing run, whatever a device or a policy is called.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Backtest</title><style>{_STYLE}</style></head><body>{body}</body></html>"
    )


def _head(study: Study) -> str:
    backtest = study.backtest
    counts = backtest.counts
    lines = [
        f"{counts.records:,} records, {len(backtest.devices):,} devices, {backtest.device_days:,.1f} device-days.",
        f"Judged {counts.tally.judged:,}; repeated {counts.tally.repeated:,}, late {counts.tally.late:,}, "
        f"unreadable {counts.bad:,}, refused {counts.refused:,}.",
    ]
    reasons = [f"{times:,} × {why}" for why, times in counts.reasons.items()]
    notes = "".join(f'<li class="note">{escape(one)}</li>' for one in [*backtest.notes, *reasons])
    return (
        f"<h1>Backtest, {escape(str(backtest.span))}</h1>" + "".join(f"<p>{escape(one)}</p>" for one in lines)
        + (f"<ul>{notes}</ul>" if notes else "")
    )  # fmt: skip


def _evaluations(study: Study) -> str:
    if not study.evaluations or not any(one.incidents for one in study.evaluations):
        rows = [{"policy": one.policy, "alerts": one.false_alerts, "per device-day": one.false_per_device_day}
                for one in study.evaluations]  # fmt: skip
        return "<h2>Policies</h2>" + _table(rows)
    told = "<h2>Policies against what happened</h2>" + _folded(evaluated(best_first(study.evaluations)))
    if study.tuned:
        told = told.replace("</h2>", ", from the end of tuning on</h2>", 1)
        told += "<h3>On the stretch that was tuned on</h3>" + _folded(evaluated(best_first(study.tuned)))
    return told


def _search(study: Study) -> str:
    if study.question.search is None:
        return ""
    goal = study.question.search.goal
    judged = study.tuned or study.evaluations
    best = study.best
    told = f"<h2>Search</h2><p>At most {goal.false_per_device_day:g} false alerts a device-day, then least delay: "
    told += f"<b>{escape(best.name)}</b>.</p>" if best else "no policy that was tried keeps to that.</p>"
    told += pareto_chart([one for one in judged if not one.policy.startswith("(")], best.name if best else "")
    return told + (f"<pre>{escape(study.policy)}</pre>" if best else "")


def _power(study: Study) -> str:
    if not study.power:
        return ""
    kinds = list(dict.fromkeys(one.kind for one in study.power))
    told = "".join(power_plot(study.power, kind, delay=delay) for kind in kinds for delay in (False, True))
    policies = list(dict.fromkeys(one.policy for one in study.power))
    legend = "".join(
        f'<p><span style="color:{COLOURS[place % len(COLOURS)]}">■</span> {escape(name)}</p>'
        for place, name in enumerate(policies)
    )
    return f'<h2>What if</h2>{legend}<div class="half">{told}</div>' + _table([one.row() for one in study.power])


def _map(study: Study) -> str:
    scores = study.backtest.scores
    if not scores:
        return ""
    worst: dict[str, float] = {}
    for one in scores:
        worst[one.device_id] = max(worst.get(one.device_id, 0.0), one.psi)
    devices = sorted(sorted(worst, key=lambda device: (-worst[device], device))[:_MOST_DEVICES])
    note = (
        "" if len(devices) == len(worst) else f"<p>The {len(devices)} of {len(worst):,} devices that went furthest.</p>"
    )
    return f"<h2>Devices over time</h2>{note}" + heat_map(scores, devices)


def _timelines(study: Study) -> str:
    stories = [story for told in study.stories().values() for story in told]
    shown = sorted({*(one.subject for one in stories), *(one.device_id for one in study.question.incidents)})
    by_device: dict[str, list[Any]] = {}
    for one in study.backtest.scores:
        by_device.setdefault(one.device_id, []).append(one)
    first = _first(study)
    plots = [
        timeline(
            device, by_device[device], [story for story in first if story.subject == device],
            [one for one in study.question.incidents if one.device_id == device],
        )
        for device in [device for device in shown if device in by_device][:_MOST_TIMELINES]
    ]  # fmt: skip
    return "<h2>Scores, alerts and incidents</h2>" + "".join(plots) if plots else ""


def _first(study: Study) -> Sequence[Any]:
    """Return the alerts of the policy that is shown: the best one, or the first."""
    told = study.stories()
    name = study.best.name if study.best is not None else next(iter(told), "")
    return told.get(name, [])


def _alerts(study: Study) -> str:
    stories = study.stories()
    fired = firings({name: stories[name] for name in study.shown})
    told = "".join(
        f"<h3>{escape(name)}: what differs from then</h3>{_table(differing(found)[:_MOST_ROWS])}"
        for name, found in study.differences.items()
        if found
    )
    return f"<h2>Alerts</h2>{_table(fired[:_MOST_ROWS])}{told}"


def _folded(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table whose first rows are shown, and the others on demand."""
    rest = rows[_ROWS_AT_ONCE:_MOST_ROWS]
    more = f"<details><summary>{len(rest)} more</summary>{_table(rest)}</details>" if rest else ""
    return _table(rows[:_ROWS_AT_ONCE]) + more


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "<p>None.</p>"
    head = "".join(f"<th>{escape(name)}</th>" for name in rows[0])
    lines = "".join(f"<tr>{_cells(row.values())}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{lines}</table>"


def _cells(values: Iterable[Any]) -> str:
    return "".join(f"<td>{escape(f'{one:.3g}' if isinstance(one, float) else str(one))}</td>" for one in values)
