"""A small process that outlives its parent just long enough to end the parent's stack.

Neither an `atexit` hook nor a `finally` runs after a kill -9; this does.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Guard", "guard"]

_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class Guard:
    process: "subprocess.Popen[bytes]"

    def dismiss(self) -> None:
        """End the watch: the stack has been taken care of."""
        self.process.kill()
        self.process.wait()


def guard(data: Path, *, purge: bool) -> Guard:
    """Have the stack in `data` brought down, and with `purge` its data removed, once this process is gone."""
    command = [sys.executable, "-m", __name__, str(os.getpid()), str(data), "purge" if purge else "keep"]
    return Guard(
        subprocess.Popen(  # noqa: S603 - no shell, and the command is ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    )


def _watch(parent: int, data: Path, *, purge: bool) -> None:
    # An orphan is given another parent: unlike a process number this can't be mistaken.
    while os.getppid() == parent:
        time.sleep(_POLL_S)
    from driftline.stack.operations import bring_down

    bring_down(data, purge=purge)


if __name__ == "__main__":
    _watch(int(sys.argv[1]), Path(sys.argv[2]), purge=sys.argv[3] == "purge")
