"""Running the stack as containers."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from driftline.stack.compose import SERVICES, Compose, engine_problem
from driftline.stack.errors import StackError
from driftline.stack.layout import assign_ports, endpoints
from driftline.stack.ports import reserving
from driftline.stack.registry import require_compatibility
from driftline.stack.state import State, save

__all__ = ["Containers"]

_PUBLISHED = ("broker-1", "registry", "valkey")


class Containers:
    """The containers that belong to the data folder `data`; their data lies in volumes of the engine's."""

    kind = "docker"

    def __init__(self, data: Path, *, cache: Path, usual_ports: bool = True) -> None:
        self._data = data
        self._reservations = cache / "ports"
        self._usual_ports = usual_ports

    def running(self) -> dict[str, int | None]:
        # The numbers of their processes mean nothing out here.
        return dict.fromkeys(self._compose({}).running())

    def start(self, before: State | None, *, brokers: int, port: int | None) -> State:
        if brokers != 1:
            raise StackError(f"--docker runs 1 broker, not {brokers}", hint="leave --docker out for three")
        if problem := engine_problem():
            raise StackError(f"Docker can't be used: {problem}", hint="leave --docker out; the stack runs without")
        # Containers of a stack that is not up are left over from a start that was killed.
        if self.running():
            self.stop()
        with reserving(self._reservations) as reserve:
            state = self.plan(before, port=port, reserve=reserve)
            self._start_all(state)
        return state

    def _start_all(self, state: State) -> None:
        compose = self._compose(state.ports)
        try:
            compose.up()
            require_compatibility(state.ports["registry"])
        except BaseException:
            compose.down(volumes=False)
            raise

    def plan(self, before: State | None, *, port: int | None, reserve: Callable[[int], bool]) -> State:
        """Choose the ports, and note them before anything starts."""
        chosen = assign_ports(
            1,
            asked=port,
            before=before.ports if before else {},
            usual=self._usual_ports,
            reserve=reserve,
            rng=random.Random(),
        )
        ports = {name: chosen[name] for name in _PUBLISHED}
        state = State(
            kind=self.kind,
            brokers=1,
            cluster_id="",
            up=False,
            servers=SERVICES,
            ports=ports,
            endpoints=endpoints(1, {**ports, "controller-1": 0}),
        )
        save(self._data, state)
        return state

    def start_again(self, state: State, names: Sequence[str]) -> None:
        for name in names:
            self._compose(state.ports).restart(name)

    def kill(self, name: str) -> None:
        self._compose({}).kill(name)

    def restart(self, state: State, name: str) -> None:
        self._compose(state.ports).restart(name)

    def stop(self) -> tuple[str, ...]:
        ended = tuple(self.running())
        self._compose({}).down(volumes=False)
        return ended

    def purge(self, state: State) -> None:
        self._compose(state.ports).down(volumes=True)

    def _compose(self, ports: dict[str, int]) -> Compose:
        return Compose(self._data, ports)
