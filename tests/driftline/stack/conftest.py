"""Stacks of a test's own, run by the real command."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from driftline.stack import bring_down
from driftline.stack.processes import Process, marked


@dataclass(frozen=True)
class Shell:
    """Runs `driftline` for the stack in `data`, as a user would."""

    data: Path

    def __call__(self, *arguments: str, data: Path | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self._command(*arguments), env=self._environment(data), capture_output=True, text=True, timeout=300
        )

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command and return at once; its end is up to the test."""
        return subprocess.Popen(
            self._command(*arguments),
            env=self._environment(None),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def status(self) -> dict[str, dict]:
        return {server["name"]: server for server in self._told()["servers"]}

    def endpoints(self) -> dict[str, str]:
        return self._told()["endpoints"]

    def processes(self) -> list[Process]:
        return marked(self.data.resolve())

    def _told(self) -> dict:
        return json.loads(self("status", "--json").stdout)

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", "from driftline.command import main; main()", *arguments]

    def _environment(self, data: Path | None) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("DRIFTLINE_COMPOSE")}
        return {**ours, "DRIFTLINE_DATA": str(data or self.data)}


@pytest.fixture
def driftline(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path / "stack")
    yield shell
    bring_down(shell.data, purge=True)


@pytest.fixture(scope="module")
def risen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A stack that was brought up, for tests that only look at it."""
    shell = Shell(tmp_path_factory.mktemp("risen") / "stack")
    up = shell("up")
    assert up.returncode == 0, up.stderr
    yield shell
    bring_down(shell.data, purge=True)
