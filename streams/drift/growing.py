"""Arrays with a row for each device that grow in place, as a rule without a second copy in memory."""

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["GrowingArray"]

_LEAST_BYTES = 1 << 20


class GrowingArray:
    """Rows of zeros, as many as were asked for; memory is taken when a row is first written.

    `rows` is a view that holds only until the next `reserve`.
    """

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self._shape = shape
        self._dtype = np.dtype(dtype)
        self._row_bytes = int(np.prod(shape, dtype=np.int64)) * self._dtype.itemsize
        self._memory = mmap.mmap(-1, _LEAST_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.rows = self._view()

    def reserve(self, rows: int) -> None:
        """Have room for so many rows, by doubling."""
        wanted = len(self._memory)
        while wanted < rows * self._row_bytes:
            wanted *= 2
        if wanted == len(self._memory):
            return
        del self.rows
        try:
            # The kernel moves page tables, not pages.
            self._memory.resize(wanted)
        except BufferError:
            # Somebody still holds a view, such as a compiler that was at work.
            grown = mmap.mmap(-1, wanted, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            grown[: len(self._memory)] = self._memory[:]
            self._memory = grown
        self.rows = self._view()

    def _view(self) -> npt.NDArray[Any]:
        rows = len(self._memory) // self._row_bytes
        flat = np.frombuffer(self._memory, self._dtype, count=rows * self._row_bytes // self._dtype.itemsize)
        return flat.reshape(rows, *self._shape)
