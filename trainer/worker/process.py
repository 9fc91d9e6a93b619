"""Starting, watching and ending the process that trains."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from trainer.worker.job import OUTCOME, JobOrder, Outcome

__all__ = ["Job", "Progress"]

_LOG = "job.log"


@dataclass(frozen=True, slots=True)
class Progress:
    """What the process says it is doing, and how much of the whole is behind it, 0 to 1."""

    doing: str
    share: float


class Job:
    """A training that is under way in its own process."""

    def __init__(self, order: JobOrder, *, environ: Mapping[str, str], started_ms: int, attempt: int) -> None:
        self.order = order
        self.attempt = attempt
        self.started_ms = started_ms
        order.folder.mkdir(parents=True, exist_ok=True)
        self._log = (order.folder / _LOG).open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "trainer.worker.job"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=dict(environ),
            # Signals of the worker's terminal are the worker's to judge.
            start_new_session=True,
        )
        os.set_blocking(_pipe(self._process.stdout).fileno(), False)
        self._unread = b""
        # The order holds secrets of the cluster, so it goes by the pipe, not by arguments or a file.
        _pipe(self._process.stdin).write(order.to_json().encode() + b"\n")
        _pipe(self._process.stdin).flush()

    @property
    def process_id(self) -> int:
        return self._process.pid

    def progress(self) -> list[Progress]:
        """Return what the process has said since it was asked last."""
        self._unread += _pipe(self._process.stdout).read() or b""
        *lines, self._unread = self._unread.split(b"\n")
        said = []
        for line in lines:
            try:
                plain = json.loads(line)
                said.append(Progress(str(plain["doing"]), float(plain["share"])))
            except (ValueError, TypeError, KeyError):
                # A library that prints is no progress.
                continue
        return said

    def outcome(self) -> Outcome | None:
        """Return how it went; None while it goes on."""
        code = self._process.poll()
        if code is None:
            return None
        self._close()
        try:
            return Outcome.from_json((self.order.folder / OUTCOME).read_bytes())
        except (OSError, ValueError, TypeError):
            return Outcome(failed=f"the training process {_ended(code)}{_last_words(self.order.folder / _LOG)}")

    def kill(self) -> None:
        """End the process and whatever it started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._close()

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            if pipe is not None:
                pipe.close()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # noqa: S101
    return pipe


def _ended(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"


def _last_words(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return f": {lines[-1][:500]}" if lines else ""
