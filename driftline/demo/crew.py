"""The workers of the demo: the same processes that an operator would start, with their words kept in files."""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from schemas.errors import DriftlineError

__all__ = ["Crew", "WorkerDiedError"]

_PATIENCE_S = 10.0


class WorkerDiedError(DriftlineError):
    def __init__(self, name: str, code: int, last_words: str) -> None:
        super().__init__(f"{name} ended with {code}; it said last:\n{last_words}")
        self.name = name


class Crew:
    """Runs `driftline …` processes from start to end, whatever happens in between."""

    def __init__(self, logs: Path, environ: Mapping[str, str], commands: Mapping[str, Sequence[str]]) -> None:
        self._logs = logs
        self._environ = dict(environ)
        self._commands = commands
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._dismissed = False

    def __enter__(self) -> Self:
        for name, command in self._commands.items():
            with self._log(name).open("wb") as log:
                self._running[name] = subprocess.Popen(  # noqa: S603
                    [sys.executable, "-m", "driftline", *command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environ,
                )
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.dismiss()
        deadline_s = time.monotonic() + _PATIENCE_S
        for process in self._running.values():
            try:
                process.wait(max(deadline_s - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def dismiss(self) -> None:
        """Tell all of them to end, without waiting for it."""
        if not self._dismissed:
            self._dismissed = True
            for process in self._running.values():
                process.terminate()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._commands)

    def check(self) -> None:
        """Raise if one of them has ended."""
        for name, process in self._running.items():
            code = process.poll()
            if code is not None:
                raise WorkerDiedError(name, code, "\n".join(self.words_of(name)[-15:]))

    def words_of(self, name: str) -> list[str]:
        """What a process has said so far, line by line."""
        return self._log(name).read_text(errors="replace").splitlines()

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"
