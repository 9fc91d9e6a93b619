"""Starting, watching and ending the process that trains.

Loading the libraries takes longer than most trainings, so a process is started ahead and waits for its order.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

from trainer.worker.job import OUTCOME, JobOrder, Outcome

__all__ = ["Ahead", "Job", "Progress", "Spare"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """What the process says it is doing, and how much of the whole is behind it, 0 to 1."""

    doing: str
    share: float


class Spare:
    """A process that has loaded what training takes, and waits; it ends with whoever started it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        # Without a name: what it says goes when it goes.
        self.log = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "trainer.worker.job"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=dict(environ),
            # Signals of the worker's terminal are the worker's to judge.
            start_new_session=True,
        )
        os.set_blocking(_pipe(self.process.stdout).fileno(), False)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def end(self) -> None:
        """End the process and whatever it started."""
        if self.alive:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.close()

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout, self.log):
            # An order that nobody read any more goes with the pipe.
            with contextlib.suppress(BrokenPipeError):
                _pipe(pipe).close()


class Ahead:
    """The process that was started before anything is asked; whoever has none starts one when it is."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._spare: Spare | None = None

    def prepare(self) -> None:
        """Have a process wait, where there is room for one."""
        if self._spare is not None:
            return
        try:
            self._spare = Spare(self._environ)
        except OSError as error:
            # It only saves time: without it, the next training says what is missing, if that still is so.
            log.warning("no process waits for the next training: %s", error)

    def take(self) -> Spare:
        """Return a process to train in: the one that waits, if it still does."""
        spare, self._spare = self._spare, None
        if spare is not None and spare.alive:
            return spare
        if spare is not None:
            spare.close()
        return Spare(self._environ)

    def end(self) -> None:
        if self._spare is not None:
            self._spare.end()
            self._spare = None


class Job:
    """A training that is under way in its own process."""

    def __init__(self, order: JobOrder, spare: Spare, *, started_ms: int, attempt: int) -> None:
        self.order = order
        self.attempt = attempt
        self.started_ms = started_ms
        self._spare, self._process = spare, spare.process
        self._unread = b""
        # The order holds secrets of the cluster, so it goes by the pipe, not by arguments or a file. A process that
        # has died does not read it, and its outcome tells.
        with contextlib.suppress(BrokenPipeError):
            _pipe(self._process.stdin).write(order.to_json().encode() + b"\n")
            _pipe(self._process.stdin).flush()

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
        try:
            return Outcome.from_json((self.order.folder / OUTCOME).read_bytes())
        except (OSError, ValueError, TypeError):
            return Outcome(failed=f"the training process {_ended(code)}{_last_words(self._spare.log)}")
        finally:
            self._spare.close()

    def kill(self) -> None:
        self._spare.end()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # noqa: S101
    return pipe


def _ended(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"


def _last_words(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return f": {lines[-1][:500]}" if lines else ""
