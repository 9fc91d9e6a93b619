"""The `driftline` command: what it offers, and how it fails.

A command is imported when it is run: `--help` is quick, and an installation without, say, the trainer
still runs everything else.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import islice, takewhile
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

import click
from click.exceptions import NoArgsIsHelpError

from schemas.errors import DriftlineError
from schemas.tracing import start_tracing

__all__ = ["COMMANDS", "Entry", "main"]

_OURS = {"schemas", "sensing", "trust", "streams", "edge_gateway", "trainer", "console", "driftline"}
_FAILED = 1
_MISUSED = 2
_INTERRUPTED = 130


class Entry(NamedTuple):
    """Where a command is, as module:name, its line in the help, and the extra whose packages it needs."""

    place: str
    short_help: str
    extra: str = ""

    def load(self) -> click.Command:
        """Import it; `ModuleNotFoundError` where its extra is not installed."""
        module, _, name = self.place.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command


COMMANDS: Mapping[str, Entry] = MappingProxyType(
    {
        "demo": Entry("driftline.commands.demo:demo", "Close the loop once, and tell what happens.", "all"),
        "up": Entry("driftline.commands.up:up", "Start Kafka, registry and Valkey on this machine.", "stack"),
        "down": Entry("driftline.commands.down:down", "Stop what `up` started.", "stack"),
        "status": Entry("driftline.commands.status:status", "Show how the local servers fare.", "stack"),
        "logs": Entry("driftline.commands.logs:logs", "Show what a local server has said.", "stack"),
        "doctor": Entry("driftline.commands.doctor:doctor", "Say what is wrong, and what to do.", "streams"),
        "topics": Entry("driftline.commands.topics:topics", "Show, make and check the topics."),
        "worker": Entry("driftline.commands.worker:worker", "Run a stream processor.", "streams"),
        "gateway": Entry(
            "driftline.commands.gateway:gateway", "Run a gateway, look into it, tell it what to do.", "gateway"
        ),
        "simulate": Entry("driftline.commands.simulate:simulate", "Play fleets of gateways, or their data.", "gateway"),
        "keys": Entry("driftline.commands.keys:keys", "Make, pin, rotate and revoke signing keys.", "trainer"),
        "pipelines": Entry("driftline.commands.pipelines:pipelines", "What makes features of readings.", "trainer"),
        "train": Entry("driftline.commands.train:train", "Train a model by hand.", "trainer"),
        "models": Entry("driftline.commands.models:models", "Register, compare, promote and serve models.", "trainer"),
        "training": Entry("driftline.commands.training:training", "Ask for trainings, approve, cancel.", "trainer"),
        "drift": Entry("driftline.commands.drift:drift", "Judge files, look back, set policies.", "streams"),
        "alerts": Entry("driftline.commands.alerts:alerts", "List, show, acknowledge, silence alerts.", "streams"),
        "rollout": Entry("driftline.commands.rollout:rollout", "Plan, start, steer and watch rollouts.", "streams"),
        "fleet": Entry("driftline.commands.fleet:fleet", "Register, label and list devices.", "streams"),
        "backtest": Entry(
            "driftline.commands.backtest:backtest", "Judge history again, by other rules; find thresholds.", "backtest"
        ),
        "export": Entry("driftline.commands.export:export", "Write topics to files.", "backtest"),
        "import": Entry("driftline.commands.import_:import_", "Write exported files to topics.", "backtest"),
        "console": Entry("driftline.commands.console:console", "Serve the REST API and the page.", "console"),
        "audit": Entry("driftline.commands.audit:audit", "Read and prove the audit log.", "streams"),
        "schemas": Entry("driftline.commands.schemas:schemas", "Render, check and register the records' schemas."),
    }
)


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        try:
            return COMMANDS[cmd_name].load()
        except ModuleNotFoundError as error:
            raise _missing(error, cmd_name) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"unknown command {args[0]!r}; known: {', '.join(COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # The inherited one would import every command for its first line.
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.short_help) for name, entry in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            raise _missing(error, ctx.invoked_subcommand or "") from error

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            start_tracing(_service(sys.argv[1:] if args is None else args), os.environ)
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
            sys.exit(code if isinstance(code, int) else 0)
        except DriftlineError as error:
            _fail(str(error), error.hint, _FAILED)
        except NoArgsIsHelpError as nothing:
            # Its message is the help; nobody did anything that deserves to be called an error.
            click.echo(nothing.format_message(), err=True)
            sys.exit(_MISUSED)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "driftline"
            _fail(error.format_message(), f"`{command} --help` shows what there is", _MISUSED)
        except click.ClickException as error:
            _fail(error.format_message(), "", error.exit_code)
        except click.Abort:
            _fail("interrupted", "", _INTERRUPTED)
        except OSError as error:
            # A full disk, missing rights, a port that is taken.
            _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), "", _FAILED)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: driftline up && driftline topics create",
)
@click.version_option(package_name="driftline")
def main() -> None:
    """Keep fleets of edge models honest: notice when they go stale, and update them safely."""


def _service(args: Sequence[str]) -> str:
    """Name this process for those who read traces, such as driftline-worker-drift."""
    words = takewhile(lambda word: not word.startswith("-"), args)
    return "-".join(["driftline", *islice(words, 2)])


def _missing(error: ModuleNotFoundError, command: str) -> DriftlineError | ModuleNotFoundError:
    """Name the extra that brings the missing package; where none would, the fault is ours, and it is shown as it is."""
    from driftline.extras import extra_with

    module = error.name or ""
    preferred = COMMANDS[command].extra if command in COMMANDS else ""
    extra = extra_with(module, preferred=preferred)
    if not extra or module.partition(".")[0] in _OURS:
        return error
    return DriftlineError(
        f"`driftline {command}` needs the package {error.name!r}, which is not installed",
        hint=f"pip install 'driftline[{extra}]'",
    )


def _fail(message: str, hint: str, code: int) -> NoReturn:
    click.echo(f"error: {message}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)
    sys.exit(code)
