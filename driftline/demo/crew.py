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
        super().__init__(f"worker {name} ended with {code}; it said last:\n{last_words}")
        self.name = name


class Crew:
    """Runs `driftline worker …` processes from start to end, whatever happens in between."""

    def __init__(self, folder: Path, options: Sequence[str], environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._options = options
        self._environ = dict(environ)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for process in self._running.values():
            process.terminate()
        deadline_s = time.monotonic() + _PATIENCE_S
        for process in self._running.values():
            try:
                process.wait(max(deadline_s - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, name: str, *options: str) -> None:
        """Start a worker; it is not waited for."""
        with self._log(name).open("wb") as log:
            self._running[name] = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "driftline", "worker", name, *self._options, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environ,
            )

    def check(self) -> None:
        """Raise if a worker has ended."""
        for name, process in self._running.items():
            code = process.poll()
            if code is not None:
                lines = self._log(name).read_text(errors="replace").splitlines()
                raise WorkerDiedError(name, code, "\n".join(lines[-15:]))

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"
