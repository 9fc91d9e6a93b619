"""How a rollout looks on a terminal: a bar for each stage, its gates, its rate and when it may end."""

import json

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from schemas import feeds
from schemas.cluster import Cluster
from schemas.errors import DriftlineError
from schemas.rollouts import RolloutStatus
from streams.rollouts.plan import Plan, parse_plan

__all__ = ["follow_rollout", "shown_duration", "shown_status"]

_SETTLED = {"succeeded", "rolled_back", "aborted", "superseded", "cancelled"}
_DONE = ("succeeded", "rolled_back")
_FAILED = ("failed", "timed_out", "quarantined", "stranded")
_GONE = ("left", "superseded")
_TO_COME = ("waiting", "held", "commanded", "in_progress", "backing_off", "returning")
_COLOURS = {"pass": "green", "fail": "red", "hold": "yellow"}
WIDTH = 40


def shown_status(status: RolloutStatus, plan: Plan | None = None, *, per_minute: float = 0.0) -> RenderableType:
    """Return a rollout as text; with its plan, a bar for each stage by its name."""
    head = Text(
        f"{status.rollout_id}  {status.model_id}  {status.phase.value}  stage {status.stage + 1}/{status.stages}"
    )
    counts = Text(", ".join(f"{count} {state}" for state, count in sorted(status.devices.items())) or "no devices yet")
    gates = Table("GATE", "VERDICT", "WHY", box=None, pad_edge=False)
    for gate in status.gates:
        colour = _COLOURS.get(gate.verdict.value, "default")
        gates.add_row(gate.gate, Text(gate.verdict.value, style=colour), gate.reason)
    parts: list[RenderableType] = [head, _bars(status, plan), counts, Text(status.reason)]
    if apart := json.loads(status.state or "{}").get("quarantined"):
        parts.append(Text(f"set apart: {', '.join(apart)}; `driftline rollout lift` lets them back in", style="red"))
    if ending := _ending(status, plan, per_minute):
        parts.append(Text(ending))
    return Group(*parts, *([gates] if status.gates else []))


def _bars(status: RolloutStatus, plan: Plan | None) -> Table:
    names = [stage.name for stage in plan.stages] if plan is not None else []
    table = Table(box=None, pad_edge=False, show_header=False)
    # A status from before stages were counted has one bar for all.
    stages = {number: _of_stage(status, number) for number in range(status.stages)} if status.stage_devices else {}
    for number, states in (stages or {status.stage: dict(status.devices)}).items():
        total = sum(count for state, count in states.items() if state not in _GONE)
        done = sum(states.get(state, 0) for state in _DONE)
        filled = WIDTH * done // total if total else 0
        failed = sum(states.get(state, 0) for state in _FAILED)
        table.add_row(
            "▶" if number == status.stage and status.phase.value not in _SETTLED else " ",
            names[number] if number < len(names) else f"stage {number + 1}",
            f"{'█' * filled}{'░' * (WIDTH - filled)}",
            f"{done}/{total}" if total else "nobody",
            Text(f"{failed} failed" if failed else "", style="red"),
        )
    return table


def _of_stage(status: RolloutStatus, number: int) -> dict[str, int]:
    found = {}
    for name, count in status.stage_devices.items():
        stage, _, state = name.partition("/")
        if stage == str(number):
            found[state] = count
    return found


def _ending(status: RolloutStatus, plan: Plan | None, per_minute: float) -> str:
    """Return rate and time left: devices at the present rate, and the bakes that are still to come."""
    left = sum(status.devices.get(state, 0) for state in _TO_COME)
    if not left or per_minute <= 0 or status.phase.value in _SETTLED:
        return ""
    bakes_s = sum(stage.bake_s for stage in plan.stages[status.stage :]) if plan is not None else 0.0
    return f"{per_minute:.0f} devices a minute; about {shown_duration(60 * left / per_minute + bakes_s)} to the end"


def shown_duration(seconds: float) -> str:
    """Return a duration as people say it.

    >>> shown_duration(7), shown_duration(600), shown_duration(9_000), shown_duration(200_000)
    ('7 s', '10 min', '2.5 h', '2.3 d')
    """
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{round(seconds / size, 1):g} {unit}"
    return f"{seconds:.0f} s"


def follow_rollout(cluster: Cluster, rollout_id: str, console: Console) -> RolloutStatus:
    """Show a rollout until it is settled, and return how it ended."""
    began: tuple[int, int] | None = None
    accepted = feeds.snapshot(cluster, "rollouts.plans", keys={rollout_id}).get(rollout_id)
    plan = parse_plan(json.loads(accepted.document)) if accepted is not None else None
    with (
        feeds.read(cluster, "rollouts.status", keys={rollout_id}) as feed,
        Live(console=console, refresh_per_second=4) as live,
    ):
        for event in feed:
            if isinstance(event, feeds.CaughtUp) and began is None:
                raise DriftlineError(f"no rollout {rollout_id!r}", hint="`driftline rollout list` shows them")
            if not isinstance(event, feeds.Changed):
                continue
            status: RolloutStatus = event.value
            done = sum(status.devices.get(state, 0) for state in _DONE)
            began = began or (event.at_ms, done)
            minutes = (event.at_ms - began[0]) / 60_000
            live.update(shown_status(status, plan, per_minute=(done - began[1]) / minutes if minutes > 0 else 0.0))
            if status.phase.value in _SETTLED:
                return status
    raise DriftlineError("the feed ended before the rollout did")
