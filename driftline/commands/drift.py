"""`driftline drift`: how drift is judged, and what it found."""

import click

from driftline.commands.drift_check import check
from driftline.commands.drift_policy import policy
from driftline.commands.drift_summary import summary
from driftline.groups import Group

__all__ = ["drift"]


@click.group(cls=Group, epilog="Example: driftline drift check --recent today.csv --baseline training.csv")
def drift() -> None:
    """Judge files, look back on a device, and say how drift is judged."""


for command in (check, policy, summary):
    drift.add_command(command)
