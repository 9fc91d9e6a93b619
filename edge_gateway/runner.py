"""Running gateways: the one loop that joins source, gateway, spool and network."""

import contextlib
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from edge_gateway.agent import Gateway
from edge_gateway.clock import wall_ms
from edge_gateway.config import GatewayConfig
from edge_gateway.errors import ConfigError
from edge_gateway.lock import only_one
from edge_gateway.logs import speaking_of
from edge_gateway.network import Network
from edge_gateway.scorer import Scored
from edge_gateway.sources import Opened
from sensing.sources.base import Source
from trust import read_keyring

__all__ = ["Running", "Station", "Summary", "run", "run_together"]

_log = logging.getLogger(__name__)

_WAIT_S = 0.05


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run came to."""

    readings_decided: int
    readings_discarded: int
    sent: int
    waiting: int
    lost: int
    # No readings, and readings that came too late for their features.
    readings_refused: int = 0
    readings_late: int = 0


class Running:
    """A gateway with its source and its network, one turn of the loop at a time."""

    def __init__(self, gateway: Gateway, source: Source, network: Network | None) -> None:
        self.gateway = gateway
        self._source = source
        self._network = network
        self._sync_every_ms = int(gateway.config.sync_interval_s * 1000)
        self._sync_at_ms = 0
        self._syncing = True

    @property
    def done(self) -> bool:
        return self._source.done

    def turn(self, timeout_s: float = _WAIT_S) -> list[Scored]:
        decided = self.gateway.take(self._source.poll(timeout_s), wall_ms())
        self.gateway.tick(wall_ms())
        if self._network is not None and self._is_time_to_send(wall_ms()):
            self._network.pump(wall_ms())
        return decided

    def _is_time_to_send(self, now_ms: int) -> bool:
        """Between two syncs nothing is sent; a sync lasts until the spool is empty."""
        if not self._sync_every_ms or self._network is None:
            return True
        if self._syncing and self._network.drained:
            self._syncing, self._sync_at_ms = False, now_ms + self._sync_every_ms
            _log.info("buffering: next-sync-s=%g", self._sync_every_ms / 1000)
        elif not self._syncing and now_ms >= self._sync_at_ms:
            self._syncing = True
            _log.info("syncing: records=%d", self.gateway.spool.depth().records)
        return self._syncing

    def close(self) -> Summary:
        if self._source.done:
            # A file that ended: nothing more will come into its last window.
            self.gateway.conclude(wall_ms())
        self._source.close()
        self.gateway.settle(wall_ms())
        if self._network is not None:
            self._network.close()
        depth = self.gateway.spool.depth()
        self.gateway.stop(wall_ms())
        return Summary(
            readings_decided=self.gateway.decided,
            readings_discarded=self.gateway.discarded,
            sent=self._network.sent if self._network else 0,
            waiting=depth.records + depth.held,
            lost=depth.dropped,
            readings_refused=self._source.refused + self.gateway.refused,
            readings_late=self.gateway.late,
        )


class Station(NamedTuple):
    """One gateway with its source: a device of its own, with slots, a spool and commands of its own."""

    config: GatewayConfig
    opened: Opened


class _Executors(NamedTuple):
    """Where the loop leaves what takes its time: fetching and self-tests, and the disk."""

    updates: Executor
    writes: Executor


def run(
    config: GatewayConfig,
    opened: Opened,
    connect: Callable[[Gateway], Network] | None,
    *,
    duration_s: float | None = None,
    rng: Random | None = None,
) -> Summary:
    """Run a gateway until its source ends, the time is up, or somebody says stop (SIGINT, SIGTERM)."""
    (summary,) = run_together([Station(config, opened)], connect, duration_s=duration_s, rng=rng)
    return summary


def run_together(
    stations: Sequence[Station],
    connect: Callable[[Gateway], Network] | None,
    *,
    duration_s: float | None = None,
    rng: Random | None = None,
) -> list[Summary]:
    """Run several gateways in one process, as one box does that has several models; see `run` for when it ends."""
    _check_apart([station.config for station in stations])
    deadline_s = math.inf if duration_s is None else time.monotonic() + duration_s
    with contextlib.ExitStack() as held, _executors() as executors, _stop_signal() as stopped:
        running = [held.enter_context(_running(station, connect, executors, rng or Random())) for station in stations]
        while not stopped.is_set() and not all(each.done for each in running) and time.monotonic() < deadline_s:
            for each in running:
                with speaking_of(each.gateway.config.device_id if len(running) > 1 else ""):
                    each.turn(_WAIT_S / len(running))
        return [each.close() for each in running]


@contextlib.contextmanager
def _running(
    station: Station, connect: Callable[[Gateway], Network] | None, executors: _Executors, rng: Random
) -> Iterator[Running]:
    config, opened = station
    with only_one(config.data):
        gateway = Gateway(
            config,
            read_keyring(config.keyring),
            executor=executors.updates,
            rng=rng,
            now_ms=wall_ms(),
            pipeline=opened.pipeline,
            writer=executors.writes,
        )
        _log.info("gateway started: device=%s serving=%s", config.device_id, gateway.slots.installation.model_id or "-")
        with _api(gateway, opened):
            yield Running(gateway, opened.source, connect(gateway) if connect else None)


def _check_apart(configs: Sequence[GatewayConfig]) -> None:
    names = [config.device_id for config in configs]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError("device_id", name, "another one for each gateway of a process")


@contextlib.contextmanager
def _api(gateway: Gateway, opened: Opened) -> Iterator[None]:
    settings = gateway.config.api
    if not settings.port:
        yield
        return
    # aiohttp is a tenth of the gateway's memory; who does not serve does not pay.
    from edge_gateway.api import Api

    api = Api(gateway, now_ms=wall_ms, inbox=opened.inbox, host=settings.host, port=settings.port)
    api.start()
    _log.info("api listens: host=%s port=%d", api.host, api.port)
    try:
        yield
    finally:
        api.stop()


@contextlib.contextmanager
def _executors() -> Iterator[_Executors]:
    with (
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="updates") as updates,
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="writes") as writes,
    ):
        yield _Executors(updates, writes)


@contextlib.contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
