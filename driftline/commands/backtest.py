"""`driftline backtest`: what would have been, had other rules counted."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from driftline.cluster_options import on_a_cluster
from driftline.settings import Settings
from driftline.text_files import read_text_file

if TYPE_CHECKING:
    from streams.backtest.history import History
    from streams.backtest.study import Study, WhatIf
    from streams.rollouts.plan import Plan

from driftline.groups import Group

__all__ = ["backtest"]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_SOURCE = click.option(
    "--source", type=click.Path(path_type=Path),
    help="An exported file or archive folder; the cluster unless said.",
)  # fmt: skip
_FROM = click.option("--from", "start", metavar="TIME", help="Arrived at this broker time or later.")
_TO = click.option("--to", "end", metavar="TIME", help="Arrived before this broker time.")
_MOST_SHOWN = 40


@click.group(cls=Group, epilog="Example: driftline backtest drift --source november.parquet --policy new.toml")
def backtest() -> None:
    """Judge history again, by the same rules or by others."""


@backtest.command(epilog="Example: driftline backtest drift --from 2026-11-01 --policy new.toml --labels incidents.csv")
@_SOURCE
@_FROM
@_TO
@click.option("--policy", "policies", type=_FILE, multiple=True, help="A policy to try, TOML; may be said again.")
@click.option("--as-then", is_flag=True, help="Also judge by the policies that counted then, offset by offset.")
@click.option("--labels", type=click.Path(path_type=Path), help="What really happened, CSV: device, start, end.")
@click.option("--tolerance", "tolerance_min", type=click.FloatRange(min=0), default=0.0, metavar="MINUTES",
              help="An alert this close to an incident is a hit.")  # fmt: skip
@click.option("--budget", type=click.FloatRange(min=0), metavar="RATE",
              help="Search the quickest policy with at most so many false alerts per device-day.")  # fmt: skip
@click.option("--grid", type=_FILE, help="What a search tries, TOML: keys of a policy with lists of values.")
@click.option("--tune-until", metavar="TIME", help="Search before this time, report from there on.")
@click.option("--save-policy", type=click.Path(path_type=Path), help="Write the policy that the search chose.")
@click.option("--what-if", "faults", multiple=True, metavar="KIND=STRENGTH,...",
              help="Inject shift, scale, dropout or trend into copies of real devices.")  # fmt: skip
@click.option("--each", type=click.IntRange(1, 1000), default=20, show_default=True, help="Injections a strength.")
@click.option("--lasting", "lasting_h", type=click.FloatRange(min=0.1), default=6.0, show_default=True, metavar="HOURS",
              help="How long an injected fault lasts.")  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True, help="Chooses where faults are injected.")
@click.option("--warm-up", "warm_up_h", type=click.FloatRange(min=0), default=24.0, show_default=True, metavar="HOURS",
              help="Read before the range, so that state is warm.")  # fmt: skip
@click.option("--settle-s", type=click.FloatRange(min=0), default=60.0, show_default=True, metavar="SECONDS",
              help="How long a cohort's pane waits for all its shares, as its worker was told.")  # fmt: skip
@click.option("--processes", type=click.IntRange(1, 256), help="Processes; as many as there are cores unless said.")
@click.option("--report", type=click.Path(path_type=Path), help="Write a page with plots, HTML.")
@click.option("--parquet", type=click.Path(path_type=Path), help="Write tables into this folder.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@on_a_cluster
def drift(settings: Settings, **said: Any) -> None:
    """Replay feature statistics under any number of policies, in one pass."""
    from driftline.progress_bar import progress_bar
    from streams.backtest.report import page, plain, write_parquet
    from streams.backtest.study import study

    _refuse_lost_places(said)
    history = _history(settings, said["source"])
    question = _question(settings, said)
    try:
        with progress_bar("replaying", 0) as told:
            found = study(history, question, told=told, total=told.expect)
    except KeyboardInterrupt:
        click.echo("hint: asked again, it goes on where it was", err=True)
        raise
    if said["report"] is not None:
        said["report"].write_text(page(found), encoding="utf-8")
    if said["parquet"] is not None:
        write_parquet(found, said["parquet"])
    if said["save_policy"] is not None and found.policy:
        said["save_policy"].write_text(found.policy, encoding="utf-8")
    if said["as_json"]:
        click.echo(json.dumps(plain(found), indent=2))
        return
    _show(found)
    for name in ("report", "parquet", "save_policy"):
        if said[name] is not None and (name != "save_policy" or found.policy):
            click.echo(f"written: {said[name]}")


@backtest.command(epilog="Example: driftline backtest rollout --rollout bearings-14 --plan stricter.toml")
@_SOURCE
@click.option("--rollout", "rollout_id", required=True, metavar="ID", help="A rollout that was.")
@click.option("--plan", "file", type=_FILE, help="The plan to replay it under; its own unless said.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@on_a_cluster
def rollout(settings: Settings, source: Path | None, rollout_id: str, file: Path | None, as_json: bool) -> None:
    """Replay acks, health and alerts of a past rollout under other gates."""
    from streams.backtest.rollout import retell
    from streams.backtest.rollout_past import find_rollout, moments_then, plan_then
    from streams.rollouts.documents import load_document
    from streams.rollouts.plan import parse_plan

    history = _history(settings, source)
    plan = its_own = plan_then(history, rollout_id)
    if file is not None:
        plan = parse_plan(load_document(read_text_file(file), kind=file.suffix.lstrip(".")))
    retold = retell(plan, find_rollout(history, rollout_id))
    then = moments_then(history, rollout_id)
    if as_json:
        told = {"then": [asdict(one) for one in then], "now": [asdict(one) for one in retold.moments],
                "assumed": sorted(retold.assumed), "settled": retold.settled}  # fmt: skip
        click.echo(json.dumps(told, indent=2))
        return
    _table("then, as far as it is kept", _moments(then, its_own))
    _table("under this plan", _moments(retold.moments, plan))
    if not retold.settled:
        click.echo("history ends before the rollout would have")
    if retold.assumed:
        click.echo(f"{len(retold.assumed)} devices that were not commanded then are taken to succeed")
    for trouble in history.troubles:
        click.echo(f"note: {trouble}", err=True)


def _moments(moments: Sequence[Any], plan: "Plan") -> list[dict[str, str]]:
    from streams.backtest.span import told_moment

    names = [stage.name for stage in plan.stages]
    return [
        {
            "at": told_moment(one.at_ms),
            "phase": one.phase.value,
            "stage": names[one.stage] if one.stage < len(names) else str(one.stage + 1),
            "gates": " ".join(f"{gate.gate}={gate.verdict.value}" for gate in one.gates) or "–",
            "devices": ", ".join(f"{count} {state}" for state, count in sorted(one.devices.items()) if count),
            "why": one.reason,
        }
        for one in moments
    ]


def _question(settings: Settings, said: dict[str, Any]) -> Any:
    from streams.backtest.candidate import read_candidates
    from streams.backtest.grid import USUAL_GRID, read_grid
    from streams.backtest.incidents import read_incidents
    from streams.backtest.search import Goal
    from streams.backtest.span import moment_ms, span_of
    from streams.backtest.study import Question, Search

    if said["budget"] is None and (said["grid"] or said["save_policy"] or said["tune_until"]):
        raise click.UsageError("--grid, --save-policy and --tune-until belong to a search; --budget asks for one")
    grid = USUAL_GRID if said["grid"] is None else read_grid(read_text_file(said["grid"]))
    until = said["tune_until"]
    return Question(
        span=span_of(said["start"], said["end"]),
        candidates=read_candidates(said["policies"]),
        incidents=() if said["labels"] is None else read_incidents(said["labels"]),
        labels_name=str(said["labels"]),
        tolerance_ms=round(said["tolerance_min"] * 60_000),
        search=None if said["budget"] is None else Search(goal=Goal(said["budget"]), grid=grid),
        tune_until_ms=None if until is None else moment_ms(until, name="--tune-until"),
        what_if=_what_if(said),
        as_then=said["as_then"],
        warm_up_ms=round(said["warm_up_h"] * 3_600_000),
        settle_ms=round(said["settle_s"] * 1000),
        processes=said["processes"] or len(os.sched_getaffinity(0)),
        resume_folder=settings.cache / "backtests",
    )


def _refuse_lost_places(said: dict[str, Any]) -> None:
    """Say so at once, not after the replay."""
    for option, out in (("--report", said["report"]), ("--save-policy", said["save_policy"])):
        if out is not None and not out.absolute().parent.is_dir():
            raise click.UsageError(f"{option} {out}: found no folder {out.parent}")
        if out is not None and out.is_dir():
            raise click.UsageError(f"{option} {out}: found a folder, wanted a file")
    if said["parquet"] is not None and said["parquet"].is_file():
        raise click.UsageError(f"--parquet {said['parquet']}: found a file, wanted a folder")


def _what_if(said: dict[str, Any]) -> "WhatIf | None":
    from streams.backtest.study import WhatIf

    kinds = dict(_fault(one) for one in said["faults"])
    if not kinds:
        return None
    return WhatIf(kinds=kinds, each=said["each"], lasting_ms=round(said["lasting_h"] * 3_600_000), seed=said["seed"])


def _fault(text: str) -> tuple[str, list[float]]:
    from streams.backtest.inject import KINDS

    kind, _, strengths = text.partition("=")
    try:
        values = [float(one) for one in strengths.split(",")]
    except ValueError:
        values = []
    if kind not in KINDS or not values or not all(0 < one < 1e6 for one in values):
        raise click.UsageError(f"--what-if: found {text!r}, wanted one of {', '.join(KINDS)}, as shift=0.3,1")
    return kind, values


def _history(settings: Settings, source: Path | None) -> "History":
    from streams.backtest.history import ClusterHistory, FileHistory

    return ClusterHistory(settings.cluster(), cache_dir=settings.cache) if source is None else FileHistory(source)


def _show(found: "Study") -> None:
    from streams.backtest.report import best_first, differing, evaluated, firings

    backtest = found.backtest
    counts = backtest.counts
    click.echo(
        f"{backtest.span}: {counts.records:,} records, {len(backtest.devices):,} devices, "
        f"{backtest.device_days:,.1f} device-days; repeated {counts.tally.repeated:,}, late {counts.tally.late:,}, "
        f"unreadable {counts.bad:,}, refused {counts.refused:,}, blocks and files left out {backtest.left_out:,}"
    )
    for note in backtest.notes:
        click.echo(f"note: {note}", err=True)
    for why, times in counts.reasons.items():
        click.echo(f"note: {times:,} x {why}", err=True)
    click.echo()
    _table("policies", evaluated(best_first(found.evaluations)))
    if found.tuned:
        _table("on the stretch that was tuned on", evaluated(best_first(found.tuned)))
    stories = found.stories()
    _table("alerts", firings({name: stories[name] for name in found.shown}))
    for name, differences in found.differences.items():
        _table(f"{name}: what differs from then", differing(differences))
    _table("what if", [{key: _figure(value) for key, value in one.row().items()} for one in found.power])
    if found.question.search is not None:
        click.echo(f"best: {found.best.name}" if found.best else "best: no policy that was tried keeps to the budget")
        click.echo(found.policy)


def _figure(value: float | int | str) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _table(title: str, rows: Sequence[dict[str, str]]) -> None:
    if not rows:
        return
    shown = rows[:_MOST_SHOWN]
    widths = {name: max(len(name), *(len(row[name]) for row in shown)) for name in rows[0]}
    click.echo(title.upper())
    click.echo("  ".join(name.ljust(width) for name, width in widths.items()).rstrip())
    for row in shown:
        click.echo("  ".join(row[name].ljust(width) for name, width in widths.items()).rstrip())
    if len(rows) > len(shown):
        click.echo(f"… and {len(rows) - len(shown):,} more; --json and --parquet have all")
    click.echo()
