"""Groups of commands, as `--help` shows them."""

import click

__all__ = ["Group"]

# Longer than any first sentence of ours.
_WHOLE = 500


class Group(click.Group):
    """Tells the whole first sentence of each command, over several lines where it must."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, command.get_short_help_str(_WHOLE)) for name, command in commands if command is not None]
            )
