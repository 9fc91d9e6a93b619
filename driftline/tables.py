"""Tables on a terminal, and in a pipe."""

import sys

from rich.console import Console
from rich.table import Table

__all__ = ["plain_table", "show"]

# Nobody cuts off what another program reads.
_PIPE_WIDTH = 10_000


def plain_table(*columns: str) -> Table:
    """Return a table without lines, whose cells are folded where they do not fit, and never cut off."""
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def show(table: Table) -> None:
    """Print a table, as wide as the terminal, or as wide as it is."""
    # Names are other people's: `flow [ppm]` is no markup.
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, markup=False, emoji=False)
    console.print(table)
