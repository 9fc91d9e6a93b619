"""Blocks: what history files are made of, each of one partition, each readable or lost by itself."""

from dataclasses import dataclass, field
from pathlib import Path

from streams.backtest.errors import HistoryError

__all__ = ["Block", "CorruptBlockError", "Scan"]


@dataclass(frozen=True, slots=True)
class Block:
    """Where a block is, and what it holds as far as that is known without reading it."""

    path: Path
    # A Parquet row group's number, or where an Avro block begins, bytes into the file.
    place: int
    partition: int
    records: int
    first_offset: int
    # Arrival of its first record; the last one's may be unknown, then this is the largest number.
    from_ms: int
    last_ms: int

    def __str__(self) -> str:
        kind = "row group" if self.path.suffix == ".parquet" else "block at byte"
        held = f"{self.records:,} records of partition {self.partition} from offset {self.first_offset}"
        return f"{self.path.name}: {kind} {self.place} ({held})"


@dataclass(frozen=True, slots=True)
class Scan:
    """A file, looked through."""

    path: Path
    topic: str
    blocks: list[Block]
    # Entries of other topics that came along, by topic: Avro containers.
    beside: dict[str, bytes] = field(default_factory=dict)
    # What could not be read, in words.
    troubles: list[str] = field(default_factory=list)


class CorruptBlockError(HistoryError):
    """A block whose bytes are not what was written; the others are not touched by it."""

    def __init__(self, block: object, why: object) -> None:
        told = str(why).partition("\n")[0] or repr(why)
        super().__init__(f"{block}: left out, its bytes are damaged ({told})")
