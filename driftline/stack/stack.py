"""A stack as an object, for tests and scripts: it ends with the process that started it."""

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from driftline.stack.errors import StackError
from driftline.stack.operations import bring_down, bring_up, runner_for
from driftline.stack.processes import mark_of
from driftline.stack.state import Endpoints, State
from driftline.stack.watchdog import Guard, guard

__all__ = ["Stack"]


class Stack:
    """Real servers on this machine.

    >>> with Stack.start() as stack:  # doctest: +SKIP
    ...     print(stack.endpoints.bootstrap)
    127.0.0.1:9092
    """

    def __init__(
        self, data: Path, state: State, *, temporary: bool, watch: Guard | None, cache: Path | None = None
    ) -> None:
        self.data = data
        self._state = state
        self._temporary = temporary
        self._watch = watch
        self._runner = runner_for(data, state.kind, cache=cache)

    @classmethod
    def start(
        cls, data: Path | None = None, *, brokers: int = 1, port: int | None = None, cache: Path | None = None
    ) -> Self:
        """Bring up a stack that ends with this process, however this process ends.

        Without `data` it lives in a temporary folder, which goes with it, on ports that nobody would look for.
        """
        temporary = data is None
        folder = Path(tempfile.mkdtemp(prefix="driftline-")) if data is None else data
        folder = folder.resolve()
        # Before the first server: a kill -9 while they start must not leave them behind either.
        watch = guard(folder, purge=temporary)
        try:
            state = bring_up(folder, brokers=brokers, port=port, cache=cache, usual_ports=not temporary).state
        except BaseException:
            watch.dismiss()
            if temporary:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        return cls(folder, state, temporary=temporary, watch=watch, cache=cache)

    @classmethod
    def join(cls, data: Path, *, cache: Path | None = None) -> Self:
        """The stack in `data`, brought up if it is not; it goes on running after a `with`, and after this process."""
        folder = data.resolve()
        state = bring_up(folder, cache=cache, usual_ports=False).state
        return cls(folder, state, temporary=False, watch=None, cache=cache)

    @property
    def endpoints(self) -> Endpoints:
        return self._state.endpoints

    @property
    def servers(self) -> tuple[str, ...]:
        """The names that `kill` and `restart` take."""
        return self._state.servers

    def mark(self, name: str) -> dict[str, str]:
        """The environment of a process of yours that is to end with this stack, however that ends."""
        return mark_of(self.data, name)

    def kill(self, name: str) -> None:
        """End server `name` as a power failure would."""
        self._check(name)
        self._runner.kill(name)

    def restart(self, name: str) -> None:
        """Start server `name` on its old port and return when it serves; one that still runs is ended first."""
        self._check(name)
        self._runner.restart(self._state, name)

    def stop(self) -> None:
        """Bring the stack down. Its data stays, unless it was temporary."""
        bring_down(self.data, purge=self._temporary)
        if self._watch is not None:
            self._watch.dismiss()

    def _check(self, name: str) -> None:
        if name not in self.servers:
            raise StackError(f"unknown server {name!r}; known: {', '.join(self.servers)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watch is not None:
            self.stop()
