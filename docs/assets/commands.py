"""The whole command, imported, for the reference."""

from importlib import import_module

import click

from driftline.command import COMMANDS, main

__all__ = ["everything"]

everything = click.Group(name="driftline", help=main.help)
for _name, _entry in COMMANDS.items():
    _module, _, _attribute = _entry.place.partition(":")
    everything.add_command(getattr(import_module(_module), _attribute), _name)
