"""How the times in somebody's file are written, as commands ask that read one."""

import click

__all__ = ["time_format_option"]

time_format_option = click.option(
    "--time-format", default="", metavar="FORMAT", help="How times are written, such as '%d/%m/%Y %H:%M'."
)
