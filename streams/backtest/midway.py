"""A replay that is under way, to a file and back: so that one that was killed goes on from there.

The file is a pickle, for the state is what the engine and its judges hold, whatever that is. It lies in a folder of
the user's own, holds nothing but arrays, plain values and classes of this project and River, and is read by the very
code that wrote it, or not at all.
"""

import hashlib
import io
import os
import pickle
import time
import zlib
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import streams
from streams.drift.growing import GrowingArray
from streams.drift.measuring import Measuring
from trust.files import write_whole

__all__ = ["Midway", "edition"]

# Keeping may take this share of the time.
_SHARE = 0.05
_OURS = ("streams.", "schemas.", "sensing.", "river.")
_PLAIN = {
    ("builtins", name) for name in ("bytearray", "complex", "frozenset", "object", "range", "set", "slice")
} | {
    ("collections", "Counter"), ("collections", "OrderedDict"), ("collections", "defaultdict"),
    ("collections", "deque"), ("copyreg", "_reconstructor"), ("functools", "partial"), ("numpy", "dtype"),
    ("numpy", "ndarray"), ("numpy._core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"), ("types", "MappingProxyType"),
}  # fmt: skip


class Midway:
    """Where the state of one replay is kept; without a path, nowhere. `shared` are parts that are known anyhow."""

    def __init__(self, path: Path | None, *, every_s: float, shared: Mapping[str, Any]) -> None:
        self._path, self._every_s, self._shared = path, every_s, shared
        self._kept_s, self._took_s = time.monotonic(), 0.0

    def is_due(self) -> bool:
        """Say whether it is time to keep the state again."""
        waited_s = time.monotonic() - self._kept_s
        return self._path is not None and waited_s >= max(self._every_s, self._took_s / _SHARE)

    def keep(self, state: Any) -> None:
        if self._path is None:
            return
        begun_s = time.monotonic()
        body = io.BytesIO()
        _Writer(body, self._shared).dump(state)
        packed = zlib.compress(body.getbuffer(), 1)
        write_whole(self._path, hashlib.sha256(packed).digest() + packed, mode=0o600)
        self._kept_s = time.monotonic()
        self._took_s = self._kept_s - begun_s

    def find(self) -> Any:
        """Return the state that was kept; None where there is none that is whole, and the user's own."""
        if self._path is None:
            return None
        try:
            with self._path.open("rb") as file:
                said = os.fstat(file.fileno())
                if said.st_uid != os.geteuid() or said.st_mode & 0o022:
                    return None
                digest, packed = file.read(32), file.read()
            if hashlib.sha256(packed).digest() != digest:
                return None
            return _Reader(io.BytesIO(zlib.decompress(packed)), self._shared).load()
        except (OSError, EOFError, pickle.UnpicklingError, zlib.error):
            # Whatever is wrong with it, the replay gives it again.
            return None


@lru_cache(maxsize=1)
def edition() -> str:
    """Return what tells this code from any other: results of another are no use to it."""
    root = Path(next(iter(streams.__path__))).parent
    sources = sorted(path for room in ("streams", "schemas", "sensing") for path in (root / room).rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


class _Writer(pickle.Pickler):
    def __init__(self, out: io.BytesIO, shared: Mapping[str, Any]) -> None:
        super().__init__(out, protocol=5)
        self._names = {id(one): name for name, one in shared.items()}

    def persistent_id(self, one: Any) -> str | None:
        return self._names.get(id(one))

    def reducer_override(self, one: Any) -> Any:
        if isinstance(one, GrowingArray):
            rows = one.rows
            return _grown, (rows.shape[1:], rows.dtype.str, rows.tobytes().rstrip(b"\0"))
        if isinstance(one, Measuring):
            # It remembers objects by where they are in memory.
            return Measuring, ()
        if isinstance(one, Enum):
            # The first releases of Python 3.11 would look its name up.
            return type(one), (one.value,)
        return NotImplemented


class _Reader(pickle.Unpickler):
    def __init__(self, packed: io.BytesIO, shared: Mapping[str, Any]) -> None:
        super().__init__(packed)
        self._shared = shared

    def persistent_load(self, name: str) -> Any:
        return self._shared[name]

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN:
            return super().find_class(module, name)
        if module.startswith(_OURS) and "." not in name:
            found = super().find_class(module, name)
            if found is _grown or (isinstance(found, type) and found.__module__ == module):
                return found
        raise pickle.UnpicklingError(f"{module}.{name}: nothing that a replay holds")


def _grown(shape: tuple[int, ...], dtype: str, data: bytes) -> GrowingArray:
    array = GrowingArray(shape, dtype)
    row_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    array.reserve(-(-len(data) // row_bytes))
    array.rows.reshape(-1).view(np.uint8)[: len(data)] = np.frombuffer(data, np.uint8)
    return array
