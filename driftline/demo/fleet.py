"""The demo's devices: thirty real gateways of three kinds on simulated sensors, played on one thread."""

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from edge_gateway import GatewayConfig, SamplingConfig, Summary, UpdateConfig, WatchConfig, WindowConfig
from edge_gateway.fleet import Member, PlayedFleet, members
from schemas.cluster import Cluster
from sensing import pipeline_named
from sensing.simulator import Fault
from trust import read_keyring

__all__ = ["KINDS", "Fleet", "Kind"]

_REST_S = 0.02
# Of the anomaly rate: the second model learns from half an hour of a world's readings, where others have weeks.
_FORGIVEN = 0.25
_WATCHED_S = 3_600
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of device, and how it is played."""

    name: str
    devices: int
    # Readings that training learns from; the devices go on from there.
    behind: int
    # A window, in the device's own time.
    window_s: float
    readings_per_s: float

    @property
    def model(self) -> str:
        return f"{self.name}-health"

    def members(self) -> list[Member]:
        return members(self.devices, [self.name])

    def begin_ms(self, now_ms: int) -> int:
        """The first reading is at ten in the morning, so long ago that an hour of watching stays in the past."""
        every_ms = pipeline_named(f"{self.name}/1").every_ms
        played_ms = int(_WATCHED_S * self.readings_per_s) * every_ms
        return (now_ms - self.behind * every_ms - played_ms) // _DAY_MS * _DAY_MS - 14 * _HOUR_MS


# Machines live two minutes in a second, weather stations six hours; shafts are sampled too often to be hurried.
KINDS = (
    Kind(name="machine", devices=12, behind=7_200, window_s=60.0, readings_per_s=120.0),
    Kind(name="vibration", devices=12, behind=300_000, window_s=5.0, readings_per_s=2_000.0),
    Kind(name="weather", devices=6, behind=8_760, window_s=86_400.0, readings_per_s=6.0),
)


class Fleet:
    """All gateways; they begin to play when it is entered."""

    def __init__(self, kinds: Sequence[Kind], *, cluster: Cluster, folder: Path, keyring: Path, now_ms: int) -> None:
        self._stopped = threading.Event()
        self._failure: BaseException | None = None
        self._troubles: SimpleQueue[tuple[str, Sequence[str], Fault]] = SimpleQueue()
        self._kinds = kinds
        self._thread = threading.Thread(
            target=self._play, args=(cluster, folder, keyring, now_ms), name="gateways", daemon=True
        )
        self.summaries: list[Summary] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def check(self) -> None:
        """Raise what ended the gateways."""
        if self._failure is not None:
            raise self._failure

    def suffer(self, kind: str, device_ids: Sequence[str], fault: Fault) -> None:
        """Let something happen to sensors of one kind from now on."""
        self._troubles.put((kind, device_ids, fault))

    def _play(self, cluster: Cluster, folder: Path, keyring: Path, now_ms: int) -> None:
        try:
            with ExitStack() as playing:
                fleets = {
                    kind.name: playing.enter_context(_played(kind, cluster, folder, keyring, now_ms))
                    for kind in self._kinds
                }
                while not self._stopped.is_set():
                    begun_s = time.monotonic()
                    self._let_suffer(fleets)
                    for fleet in fleets.values():
                        fleet.step()
                    self._stopped.wait(max(_REST_S - (time.monotonic() - begun_s), 0.0))
            self.summaries = [fleet.summary for fleet in fleets.values()]
        except BaseException as failure:  # noqa: BLE001 - raised again by `check`.
            self._failure = failure

    def _let_suffer(self, fleets: dict[str, PlayedFleet]) -> None:
        try:
            while True:
                kind, device_ids, fault = self._troubles.get_nowait()
                fleets[kind].suffer(device_ids, fault)
        except Empty:
            return


def _played(kind: Kind, cluster: Cluster, folder: Path, keyring: Path, now_ms: int) -> PlayedFleet:
    base = GatewayConfig(
        device_id=kind.name,
        data=folder,
        keyring=keyring,
        heartbeat_s=3.0,
        windows=WindowConfig(length_s=kind.window_s, lateness_s=0.0, checkpoint_s=30.0),
        watch=WatchConfig(bake_s=1.0, bake_windows=2, bake_decisions=10, degradation=_FORGIVEN),
        # Training learns from the uniform ones, and there is a minute to gather them.
        sampling=SamplingConfig(uniform_per_window=6, anomalies_per_window=2, context=1),
        updates=UpdateConfig(reserve_bytes=0),
    )
    return PlayedFleet(
        cluster,
        kind.members(),
        folder,
        read_keyring(keyring),
        base=base,
        speed=kind.readings_per_s,
        now_ms=lambda: time.time_ns() // 1_000_000,
        start_ms=kind.begin_ms(now_ms),
        passed=kind.behind,
    )
