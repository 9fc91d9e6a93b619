"""`driftline alerts`: what drifts or fares badly, who cares for it, and what is silenced."""

import json
import time
import uuid
from dataclasses import asdict

import click
from rich.console import Console

from driftline.alert_view import history_of, shown_alert
from driftline.asking import ask
from driftline.cluster_options import on_a_cluster
from driftline.groups import Group
from driftline.settings import Settings
from driftline.tables import plain_table
from driftline.tables import show as show_table
from driftline.times import ago, millis_of, utc
from driftline.why_option import WHY
from schemas import feeds
from schemas.cluster import Cluster
from schemas.drift_alert import AlertState, DriftAlert, Severity
from schemas.errors import DriftlineError
from schemas.jsonable import as_jsonable
from streams.drift.alerts import AlertBook
from streams.drift.objectives import spendings
from streams.drift.policy import InForce, timelines
from streams.drift.requests import RequestError, heed
from streams.drift.silences import MATCHED, Silence

__all__ = ["alerts"]

_GRAVITY = [severity.value for severity in Severity]
_STATES = [state.value for state in AlertState if state is not AlertState.UNKNOWN]
# Who answers for an alert, by how its id begins.
_WORKERS = {"rollout": "rollouts", "device": "rollouts", "cohort": "cohorts", "cohort-drift": "cohorts"}
_JUDGED = "telemetry.feature-stats"
_LIVE = ("pending", "firing", "acknowledged")
_ID = click.argument("alert_id", metavar="ID")
_JSON = click.option("--json", "as_json", is_flag=True, help="For scripts.")
_MATCH = click.option(
    "--match", "matches", multiple=True, metavar="NAME=PATTERN",
    help=f"By {', '.join(MATCHED)}, or a label; repeatable, all must fit, * fits anything.",
)  # fmt: skip


@click.group(cls=Group, epilog="Example: driftline alerts list --match region=eu && driftline alerts ack press-7/heat")
def alerts() -> None:
    """List, show, acknowledge and silence alerts."""


@alerts.command(name="list", epilog="Example: driftline alerts list --severity high --match region=eu-*")
@click.option("--state", "states", multiple=True, type=click.Choice(_STATES), help="Live ones unless said; repeatable.")
@click.option("--severity", type=click.Choice(_GRAVITY), default="unknown", help="This grave, or graver.")
@_MATCH
@_JSON
@on_a_cluster
def list_(settings: Settings, states: tuple[str, ...], severity: str, matches: tuple[str, ...], as_json: bool) -> None:
    """List alerts, the gravest and newest first."""
    matching = Silence(silence_id="", until_ms=2**62, matchers=_matchers(matches))
    found = [
        alert
        for alert in feeds.snapshot(settings.cluster(), "drift.alerts").values()
        if alert.state.value in (states or _LIVE)
        and _GRAVITY.index(alert.severity.value) >= _GRAVITY.index(severity)
        and matching.covers(alert, 0)
    ]
    found.sort(key=lambda alert: (-_GRAVITY.index(alert.severity.value), -alert.changed_ms))
    if as_json:
        click.echo(json.dumps([as_jsonable(alert) for alert in found], indent=2))
        return
    table = plain_table("SEVERITY", "STATE", "SUBJECT", "FEATURE", "KIND", "SINCE", "ALERT")
    for alert in found:
        state = (
            alert.state.value + (", silenced" if alert.silenced else "") + (", escalated" if alert.escalated else "")
        )
        devices = int(alert.evidence.scores.get("devices", len(alert.members)))
        subject = f"{alert.subject} ({devices} devices)" if devices else alert.subject
        table.add_row(
            alert.severity.value, state, subject, alert.feature, alert.kind, ago(alert.opened_ms), alert.alert_id
        )
    show_table(table)


@alerts.command(epilog="Example: driftline alerts show press-7/heat")
@_ID
@_JSON
@on_a_cluster
def show(settings: Settings, alert_id: str, as_json: bool) -> None:
    """Show one alert with its evidence and its history; the beginning of an ID is enough."""
    cluster = settings.cluster()
    alert = _found(cluster, alert_id)
    history = history_of(cluster, alert)
    if as_json:
        told = [as_jsonable(entry) for entry in history]
        click.echo(json.dumps({**as_jsonable(alert), "history": told}, indent=2))
    else:
        Console(soft_wrap=True).print(shown_alert(alert, history))


@alerts.command(epilog="Example: driftline alerts ack press-7/heat --why 'bearing is being changed'")
@_ID
@WHY
@on_a_cluster
def ack(settings: Settings, alert_id: str, why: str) -> None:
    """Say that somebody cares for an alert that fires."""
    cluster = settings.cluster()
    alert = _found(cluster, alert_id)
    if alert.state is not AlertState.FIRING:
        raise DriftlineError(f"{alert.alert_id} is {alert.state.value}; only one that fires is acknowledged")
    kind = alert.alert_id.partition("/")[0]
    worker = _WORKERS.get(kind, "drift")
    entry = ask(cluster, f"alert/{alert.alert_id}", "acknowledge", why=why, worker=worker)
    click.echo(f"{alert.alert_id}: {entry.action} by {entry.who}")


@alerts.command(epilog="Example: driftline alerts silence --match region=eu --for 4h --why 'planned stop'")
@_MATCH
@click.option("--for", "span", required=True, metavar="SPAN", help="How long, such as 30m, 4h or 7d.")
@click.option("--name", default="", help="What it is called; made up unless given.")
@WHY
@on_a_cluster
def silence(settings: Settings, matches: tuple[str, ...], span: str, name: str, why: str) -> None:
    """Have nobody told of alerts that match, for a while."""
    matchers = _matchers(matches)
    if not matchers:
        raise click.UsageError("--match: found none, wanted one at least; --match subject=* is everything")
    try:
        until_ms = time.time_ns() // 1_000_000 + millis_of(span)
    except ValueError as wanted:
        raise click.UsageError(f"--for: {wanted}") from None
    name = name or uuid.uuid4().hex[:8]
    said = {"until_ms": str(until_ms), "matchers": json.dumps(matchers, sort_keys=True)}
    ask(settings.cluster(), f"silence/{name}", "silence", why=why, arguments=said, worker="drift")
    click.echo(f"{name}: silent until {utc(until_ms)}")


@alerts.command(epilog="Example: driftline alerts unsilence 3f2a9c10")
@click.argument("name")
@WHY
@on_a_cluster
def unsilence(settings: Settings, name: str, why: str) -> None:
    """End a silence before its time."""
    cluster = settings.cluster()
    if name not in _silences(cluster):
        raise DriftlineError(f"no silence {name!r} holds", hint="`driftline alerts silences` lists them")
    ask(cluster, f"silence/{name}", "unsilence", why=why, worker="drift")
    click.echo(f"{name}: ended")


@alerts.command(epilog="Example: driftline alerts silences --json")
@_JSON
@on_a_cluster
def silences(settings: Settings, as_json: bool) -> None:
    """List the silences that hold."""
    held = sorted(_silences(settings.cluster()).values(), key=lambda one: one.until_ms)
    if as_json:
        plain = [
            {"name": one.silence_id, "until_ms": one.until_ms, "matchers": dict(one.matchers)} for one in held
        ]  # fmt: skip
        click.echo(json.dumps(plain, indent=2))
        return
    table = plain_table("SILENCE", "UNTIL", "MATCHES")
    for one in held:
        table.add_row(one.silence_id, utc(one.until_ms), " ".join(f"{n}={p}" for n, p in one.matchers.items()))
    show_table(table)


@alerts.command(epilog="Example: driftline alerts budgets --since 7d")
@click.option("--since", default="24h", show_default=True, metavar="SPAN", help="From how long ago; 7d at most.")
@_JSON
@on_a_cluster
def budgets(settings: Settings, since: str, as_json: bool) -> None:
    """Show how much models have used of what their objectives allow."""
    cluster = settings.cluster()
    try:
        from_ms = time.time_ns() // 1_000_000 - millis_of(since)
    except ValueError as wanted:
        raise click.UsageError(f"--since: {wanted}") from None
    policies = (span[1] for line in timelines(cluster, _JUDGED).values() for span in line.spans[-1:])
    newest = max(policies, key=lambda one: one.revision, default=InForce())
    with feeds.follow(cluster, "telemetry.model-health", from_ms=from_ms, until_current=True) as log:
        windows = (event.value for event in log if isinstance(event, feeds.Changed))
        known = feeds.snapshot(cluster, "drift.alerts").values()
        found = spendings(newest.rules, known, windows, from_ms=from_ms)
    if as_json:
        click.echo(json.dumps([{**asdict(one), "used": one.used} for one in found], indent=2))
        return
    table = plain_table("MODEL", "OBJECTIVE", "SPENT", "ALLOWED", "USED")
    for one in found:
        table.add_row(one.model_id, one.objective, f"{one.spent:g}", f"{one.allowed:.3g}", f"{one.used:.0%}")
    show_table(table)


def _found(cluster: Cluster, alert_id: str) -> DriftAlert:
    """Return the alert of an id, or of what it begins with; of several the newest, if only one of them lives."""
    known = feeds.snapshot(cluster, "drift.alerts")
    if alert_id in known:
        exact: DriftAlert = known[alert_id]
        return exact
    close = [alert for name, alert in known.items() if name.startswith(alert_id)]
    live = [alert for alert in close if alert.state.value in _LIVE]
    chosen: list[DriftAlert] = live or sorted(close, key=lambda alert: alert.changed_ms)[-1:]
    if len(chosen) > 1:
        names = ", ".join(sorted(alert.alert_id for alert in chosen))
        raise DriftlineError(f"{alert_id!r} begins {len(chosen)} alerts: {names}", hint="say more of it")
    if not chosen:
        raise DriftlineError(f"no alert {alert_id!r}", hint="`driftline alerts list` shows them")
    return chosen[0]


def _matchers(said: tuple[str, ...]) -> dict[str, str]:
    matchers = {}
    for text in said:
        name, equals, pattern = text.partition("=")
        if not name or not equals:
            raise click.UsageError(f"--match: found {text!r}, wanted NAME=PATTERN")
        matchers[name] = pattern
    return matchers


def _silences(cluster: Cluster) -> dict[str, Silence]:
    book, now_ms = AlertBook(), time.time_ns() // 1_000_000
    with feeds.follow(cluster, "operators.requests", from_ms=0, until_current=True) as log:
        for event in log:
            if isinstance(event, feeds.Changed):
                try:
                    heed(book, event.value)
                except RequestError:
                    continue
    return {name: one for name, one in book.silences.items() if now_ms < one.until_ms}
