"""The `driftline` command: its help, and how it fails."""

import re
import resource
import subprocess
import sys
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from driftline import command
from driftline.command import COMMANDS, Entry, main
from schemas.errors import DriftlineError


def _every(command, path):
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from _every(command.get_command(context, name), f"{path} {name}")


EVERY = list(_every(main, "driftline"))


@pytest.fixture
def offer(monkeypatch):
    """Offer one more command, `probe`, that does what the test says."""

    def offered(action, *, extra=""):
        module = type(sys)("tests_probe")
        module.probe = click.Command("probe", callback=action)
        monkeypatch.setitem(sys.modules, "tests_probe", module)
        monkeypatch.setattr(command, "COMMANDS", {"probe": Entry("tests_probe:probe", "For this test.", extra)})
        return lambda *arguments: CliRunner().invoke(main, ["probe", *arguments])

    return offered


def _raise(error):
    raise error


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_list_says_and_its_help_ends_with_an_example(name):
    module, _, attribute = COMMANDS[name].place.partition(":")

    found = getattr(import_module(module), attribute)

    assert isinstance(found, click.Command)
    assert found.epilog
    assert found.epilog.startswith(f"Example: driftline {name}")


def test_help_lists_every_command_and_imports_none():
    code = (
        "import sys; from driftline.command import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.stderr.write(' '.join(sorted(sys.modules)))"
    )

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert all(f"  {name} " in shown.stdout for name in COMMANDS)
    imported = set(shown.stderr.split())
    assert not imported & {
        "confluent_kafka",
        "numpy",
        "fastavro",
        "rich",
        "psutil",
        "driftline.stack",
        "schemas.records",
    }


def test_help_takes_little_more_than_the_start_of_python():
    bare_s = min(_seconds("import click") for _ in range(5))
    help_s = min(_seconds("from driftline.command import main; main(['--help'])") for _ in range(5))

    # Any library of ours would double it once more.
    assert help_s < 2.5 * bare_s


def test_a_refusal_is_an_error_a_hint_and_exit_code_1(offer):
    probe = offer(lambda: _raise(DriftlineError("the spool is full", hint="make room")))

    result = probe()

    assert (result.exit_code, result.stderr) == (1, "error: the spool is full\nhint: make room\n")
    assert result.stdout == ""


def test_misuse_exits_2_and_points_to_the_help(offer):
    result = offer(lambda: None)("--nonsense")

    assert result.exit_code == 2
    assert result.stderr == "error: No such option: --nonsense\nhint: `main probe --help` shows what there is\n"


@pytest.mark.parametrize("arguments", [[], ["rollout"], ["drift", "policy"]], ids=" ".join)
def test_a_group_alone_shows_its_help_and_calls_it_no_error(arguments):
    result = CliRunner().invoke(main, arguments, prog_name="driftline")

    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: driftline")
    assert "error" not in result.stderr
    assert "hint" not in result.stderr


@pytest.mark.parametrize(("path", "command"), list(EVERY), ids=[path for path, _ in EVERY])
def test_every_help_is_whole_and_every_list_has_json(path, command):
    options = {name for one in command.params for name in one.opts}

    shown = CliRunner().invoke(main, [*path.split(" ")[1:], "--help"], prog_name="driftline").stdout

    # "ARGS..." is usage; "read a..." is a sentence that was cut.
    assert re.findall(r"[a-z]\.\.\.", shown) == []
    assert "Example: driftline" in shown
    assert [one.name for one in command.params if isinstance(one, click.Option) and not one.help] == []
    if path.endswith((" list", " status", " doctor", " gc", " slots", " spool", " budgets")):
        assert "--json" in options


def test_an_unknown_command_is_answered_with_the_choices():
    result = CliRunner().invoke(main, ["upp"], prog_name="driftline")

    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: unknown command 'upp'; known: {', '.join(COMMANDS)}\n")


def test_a_ctrl_c_exits_130(offer):
    result = offer(lambda: _raise(KeyboardInterrupt()))()

    assert (result.exit_code, result.stderr.strip()) == (130, "error: interrupted")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(OSError(28, "No space left on device", "out.bin"), "out.bin: No space left on device", id="file"),
        pytest.param(OSError(98, "address already in use"), "[Errno 98] address already in use", id="port"),
    ],
)
def test_what_the_machine_refuses_is_an_error_without_a_traceback(offer, error, said):
    result = offer(lambda: _raise(error))()

    assert (result.exit_code, result.stderr) == (1, f"error: {said}\n")


@pytest.mark.parametrize("when", ["at import", "while it runs"])
def test_a_missing_package_is_answered_with_the_extra_that_brings_it(offer, monkeypatch, when):
    missing = ModuleNotFoundError("No module named 'psutil'", name="psutil")
    probe = offer(lambda: _raise(missing), extra="stack")
    if when == "at import":
        monkeypatch.setattr(command, "import_module", lambda _module: _raise(missing))

    result = probe()

    assert result.exit_code == 1
    assert result.stderr == (
        "error: `driftline probe` needs the package 'psutil', which is not installed\n"
        "hint: pip install 'driftline[stack]'\n"
    )


@pytest.mark.parametrize(("missing", "extra"), [("nonsense", ""), ("driftline.nonsense", "stack")])
def test_a_mistake_of_ours_is_not_blamed_on_the_installation(offer, missing, extra):
    result = offer(lambda: _raise(ModuleNotFoundError(missing, name=missing)), extra=extra)()

    assert isinstance(result.exception, ModuleNotFoundError)


def _seconds(code):
    """Processor time, which others at work on this machine disturb less than the clock's."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
