"""Why somebody does something: the option of every command that the audit log tells of."""

import click

__all__ = ["WHY"]

WHY = click.option("--why", default="", help="The reason, for the audit log.")
