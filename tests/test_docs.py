"""The site is built from the tree as it stands: links lead somewhere, and every command that a page shows exists."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from driftline.command import COMMANDS

ROOT = Path(__file__).parent.parent
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]
_SHOWN = re.compile(r"(?:\$ |`)driftline ([a-z].*?)(?:`|$)", re.MULTILINE)
_WORD = re.compile(r"[a-z][a-z-]*")


def test_the_site_can_be_built(tmp_path):
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert built.returncode == 0, built.stderr
    assert "FeatureStats" in (tmp_path / "site" / "reference" / "topics" / "index.html").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_shows_only_commands_that_exist(page):
    for line in _SHOWN.findall(page.read_text()):
        if (problem := wrong_with(line.split())) is not None:
            pytest.fail(f"driftline {line}: {problem}")


def wrong_with(words: list[str]) -> str | None:
    """Follow subcommands and options as far as they go; values are not looked at."""
    name = words.pop(0).rstrip(",")
    if name not in COMMANDS:
        return f"no command {name!r}"
    command = COMMANDS[name].load()
    while isinstance(command, click.Group) and words and _WORD.fullmatch(words[0]) and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    if isinstance(command, click.Group) and words and _WORD.fullmatch(words[0]) and not command.invoke_without_command:
        return f"no command {words[0]!r} in {command.name!r}"
    options = {text for parameter in command.params for text in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.partition("=")[0].rstrip(",") for word in words if word.startswith("--")}
    return f"no option {', '.join(sorted(unknown))}" if (unknown := used - options - {"--help"}) else None
