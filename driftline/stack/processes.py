"""Server processes: started in their own session, marked, and found again whatever became of us.

Every server carries the mark of its stack in its environment from its first instruction on. So one
that was started by a command that then died is still found, and a process that merely inherited
an old number is never touched.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Process", "alive", "kill", "listens", "mark_of", "marked", "run", "spawn", "terminate"]

# Not `DRIFTLINE_…`: what carries the mark may read settings, and these are none.
_STACK = "STACK_OF_DRIFTLINE"
_SERVER = "SERVER_OF_DRIFTLINE"

# Kept so that our own children are reaped, and those that outlive us by intent give no warning.
_children: dict[int, "subprocess.Popen[bytes]"] = {}


@dataclass(frozen=True, slots=True)
class Process:
    """The process `pid`, as long as it is server `name` of the stack whose data is in `stack`."""

    pid: int
    name: str
    stack: Path


def mark_of(stack: Path, name: str) -> dict[str, str]:
    """What a process carries in its environment that is to be found, and ended, with `stack`."""
    return {_STACK: str(stack), _SERVER: name}


def spawn(
    command: Sequence[str], *, name: str, stack: Path, environment: Mapping[str, str], folder: Path, log: Path
) -> Process:
    """Start `command` as server `name` of `stack`; what it says is added to `log`."""
    with log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603 - no shell, and the command is ours
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**environment, **mark_of(stack, name)},
            # A Ctrl-C in the terminal is for us; we end the servers in their order.
            start_new_session=True,
        )
    _children[child.pid] = child
    return Process(child.pid, name, stack)


def run(
    command: Sequence[str], *, name: str, stack: Path, environment: Mapping[str, str], folder: Path, log: Path
) -> int:
    """Run `command` to its end, marked like a server, and return its exit code."""
    process = spawn(command, name=name, stack=stack, environment=environment, folder=folder, log=log)
    child = _children[process.pid]
    return child.wait()


def alive(process: Process) -> bool:
    child = _children.get(process.pid)
    if child is not None:
        # Nobody else gets its number before we have reaped it; and the mark of a process that
        # was started a moment ago can't be read yet.
        if child.poll() is None:
            return True
        del _children[process.pid]
    return _marks(process.pid) == (str(process.stack), process.name)


def listens(process: Process, ports: Iterable[int]) -> bool:
    """Whether it is `process`, and not some other program, that is to be reached on all of `ports`."""
    import psutil

    try:
        connections = psutil.Process(process.pid).net_connections("tcp")
    except psutil.Error:
        return False
    open_ports = {c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN}
    return open_ports.issuperset(ports)


def marked(stack: Path) -> list[Process]:
    """All living processes that carry the mark of `stack`, recorded anywhere or not."""
    import psutil

    found = ((pid, _marks(pid)) for pid in psutil.pids())
    return [Process(pid, marks[1], stack) for pid, marks in found if marks is not None and marks[0] == str(stack)]


def terminate(processes: Iterable[Process], *, grace_s: float = 20.0) -> None:
    """Ask `processes` to end, and wait; what is still there after `grace_s` is killed."""
    ending = list(_signalled(processes, signal.SIGTERM))
    deadline = time.monotonic() + grace_s
    while any(map(alive, ending)) and time.monotonic() < deadline:
        time.sleep(0.02)
    kill(ending)


def kill(processes: Iterable[Process]) -> None:
    """End `processes` at once, without a chance to tidy up."""
    ending = list(_signalled(processes, signal.SIGKILL))
    while any(map(alive, ending)):
        time.sleep(0.01)


def _signalled(processes: Iterable[Process], number: signal.Signals) -> Iterator[Process]:
    for process in processes:
        if not alive(process):
            continue
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            continue
        yield process


def _marks(pid: int) -> tuple[str, str] | None:
    # Imported late: asking for a stack's address must work where none can run, without this package.
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        environment = process.environ()
    except (psutil.Error, OSError):
        # Gone, or another user's.
        return None
    if _STACK not in environment:
        return None
    return environment[_STACK], environment.get(_SERVER, "")
