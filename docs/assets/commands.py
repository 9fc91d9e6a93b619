"""The whole command, imported, for the reference."""

import click

from driftline.command import COMMANDS, main

__all__ = ["everything"]

everything = click.Group(name="driftline", help=main.help)
for _name, _entry in COMMANDS.items():
    everything.add_command(_entry.load(), _name)
