"""Shares of cohorts on the way from those who replay partitions to those who merge them.

What a month tells of cohorts need not fit into memory, so it goes through files: one for each audience and partition,
in which the time as of which shares were told never falls. An audience is whoever measures alike.
"""

import heapq
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from struct import Struct

from schemas.codec import codec_of
from schemas.drift_scores import CohortPane

__all__ = ["ShareFiles", "shares_in"]

_SIZE = Struct("<I")
_FLUSH_BYTES = 1 << 18
_CODEC = codec_of(CohortPane)


class ShareFiles:
    """Writes shares into a folder; `lengths` say how far each file counts, by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: dict[str, bytearray] = {}
        self.lengths: dict[str, int] = {}

    def begin(self, lengths: Mapping[str, int]) -> bool:
        """Go on behind what counts of earlier files, and drop the rest; False where some of that is gone."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.iterdir():
            if path.name not in lengths:
                path.unlink()
        if not is_whole(self._folder, lengths):
            return False
        for name, length in lengths.items():
            with (self._folder / name).open("r+b") as file:
                file.truncate(length)
        self.lengths = dict(lengths)
        return True

    def write(self, audience: str, partition: int, shares: Sequence[CohortPane]) -> None:
        """Add what a partition told, in the order of time."""
        if not shares:
            return
        waiting = self._waiting.setdefault(f"{partition:03d}.{audience}", bytearray())
        for share in shares:
            packed = zlib.compress(_CODEC.encode(share), 1)
            waiting += _SIZE.pack(len(packed)) + packed
        if len(waiting) > _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Have all that was written counted."""
        for name, waiting in self._waiting.items():
            with (self._folder / name).open("ab") as file:
                file.write(waiting)
            self.lengths[name] = self.lengths.get(name, 0) + len(waiting)
        self._waiting.clear()


def is_whole(folder: Path, lengths: Mapping[str, int]) -> bool:
    """Say whether files hold at least what they are said to."""
    try:
        return all((folder / name).stat().st_size >= length for name, length in lengths.items())
    except OSError:
        return False


def shares_in(folders: Sequence[Path], audience: str) -> Iterator[CohortPane]:
    """Yield what was told to an audience, in the order of time; those of one time by partition."""
    paths = [path for folder in folders for path in folder.glob(f"*.{audience}")]
    return heapq.merge(
        *map(_read, sorted(paths, key=lambda path: path.name)),
        key=lambda share: (share.as_of_ms, share.source_partition),
    )


def _read(path: Path) -> Iterator[CohortPane]:
    with path.open("rb") as file:
        while head := file.read(_SIZE.size):
            yield _CODEC.decode(zlib.decompress(file.read(*_SIZE.unpack(head))))
