"""Rings: which stage takes a device in, decided by a salted hash so that it never changes its side."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

__all__ = ["NO_STAGE", "assign_stages", "ring_position", "ring_positions"]

NO_STAGE = 255


def ring_position(salt: str, device_id: str) -> float:
    """Return where on the ring a device stands, 0 inclusive to 1 exclusive; evenly spread, the same for ever.

    >>> round(ring_position("bearings-14", "pump-7"), 4)
    0.9396
    """
    return float(ring_positions(salt, [device_id])[0])


def ring_positions(salt: str, device_ids: Iterable[str]) -> npt.NDArray[np.float64]:
    """Return the same of many."""
    key = _key(salt)
    digests = b"".join([blake2b(name.encode(), key=key, digest_size=8).digest() for name in device_ids])
    # 53 bits are what a float holds exactly; with all 64 the last devices would round up to 1.
    return (np.frombuffer(digests, ">u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53


def assign_stages(
    positions: npt.NDArray[np.float64],
    shares: Sequence[float | None],
    named: Sequence[npt.NDArray[np.bool_] | None],
    *,
    min_devices: Sequence[int],
    strata: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.uint8]:
    """Return for each device the first stage that takes it, or NO_STAGE.

    A stage takes the devices below its share of the ring, or those that its mask in `named` marks. A stage that would
    take fewer than its `min_devices`, earlier stages counted, takes those next on the ring as well, and with `strata`
    the first stage takes at least one device of each stratum. Stages nest: a device stays in once it is in.
    """
    stages = np.full(len(positions), NO_STAGE, dtype=np.uint8)
    for number in reversed(range(len(shares))):
        share, mask = shares[number], named[number]
        taken = mask if mask is not None else positions < (1.0 if share is None else share)
        stages[taken] = number
    for number, wanted in enumerate(min_devices):
        _widen(stages, positions, number, wanted)
    if strata is not None and len(positions):
        by_position = np.argsort(positions, kind="stable")
        _, first = np.unique(strata[by_position], return_index=True)
        represented = by_position[first]
        stages[represented[stages[represented] != NO_STAGE]] = 0
    return stages


@lru_cache(maxsize=64)
def _key(salt: str) -> bytes:
    # blake2b takes keys of at most 64 bytes; a salt may be any text.
    return blake2b(salt.encode()).digest()


def _widen(stages: npt.NDArray[np.uint8], positions: npt.NDArray[np.float64], number: int, wanted: int) -> None:
    missing = wanted - int(np.count_nonzero(stages <= number))
    if missing <= 0:
        return
    later = np.flatnonzero((stages > number) & (stages != NO_STAGE))
    next_on_ring = later[np.argsort(positions[later], kind="stable")][:missing]
    stages[next_on_ring] = number
