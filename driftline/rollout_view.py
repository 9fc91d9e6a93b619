"""How a rollout looks on a terminal: a bar for its devices, its gates, its rate and when it may end."""

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from schemas import feeds
from schemas.cluster import Cluster
from schemas.errors import DriftlineError
from schemas.rollouts import RolloutStatus

__all__ = ["follow_rollout", "shown_status"]

_SETTLED = {"succeeded", "rolled_back", "aborted", "superseded", "cancelled"}
_DONE = ("succeeded", "rolled_back")
_COLOURS = {"pass": "green", "fail": "red", "hold": "yellow"}
WIDTH = 40


def shown_status(status: RolloutStatus, *, per_minute: float = 0.0) -> RenderableType:
    """Return a rollout as text."""
    total = sum(count for state, count in status.devices.items() if state not in ("left", "superseded"))
    done = sum(status.devices.get(state, 0) for state in _DONE)
    filled = round(WIDTH * done / total) if total else 0
    head = Text(
        f"{status.rollout_id}  {status.model_id}  {status.phase.value}  stage {status.stage + 1}/{status.stages}"
    )
    bar = Text(f"{'█' * filled}{'░' * (WIDTH - filled)} {done}/{total}{_ending(total - done, per_minute)}")
    counts = Text(", ".join(f"{count} {state}" for state, count in sorted(status.devices.items())))
    gates = Table("GATE", "VERDICT", "WHY", box=None, pad_edge=False)
    for gate in status.gates:
        colour = _COLOURS.get(gate.verdict.value, "default")
        gates.add_row(gate.gate, Text(gate.verdict.value, style=colour), gate.reason)
    parts: list[RenderableType] = [head, bar, counts, Text(status.reason)]
    return Group(*parts, *([gates] if status.gates else []))


def follow_rollout(cluster: Cluster, rollout_id: str, console: Console) -> RolloutStatus:
    """Show a rollout until it is settled, and return how it ended."""
    began: tuple[int, int] | None = None
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
            live.update(shown_status(status, per_minute=(done - began[1]) / minutes if minutes > 0 else 0.0))
            if status.phase.value in _SETTLED:
                return status
    raise DriftlineError("the feed ended before the rollout did")


def _ending(left: int, per_minute: float) -> str:
    return f"  {per_minute:.0f}/min, about {left / per_minute:.0f} min left" if per_minute > 0 and left else ""
