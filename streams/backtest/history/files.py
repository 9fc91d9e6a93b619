"""History in files: one that was exported, or a folder of them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from schemas.catalogue import topic_named
from schemas.stats_run import sort_plain
from streams.backtest.errors import HistoryError
from streams.backtest.history.avro_file import entries_in, read_avro_block, scan_avro
from streams.backtest.history.base import Extent, ShapeOf, Share, StatsBatch
from streams.backtest.history.block import Block, CorruptBlockError, Scan
from streams.backtest.history.columns import STATS_COLUMNS, stats_of
from streams.backtest.history.entry import Entry
from streams.backtest.history.parquet_file import read_parquet_block, read_parquet_columns, scan_parquet
from streams.backtest.span import EVER, Span

__all__ = ["FileHistory", "is_history_file"]

_SCANS = {".avro": scan_avro, ".parquet": scan_parquet}
_LATEST = 2**63 - 1


def is_history_file(path: Path) -> bool:
    """Say whether a name is one that history is kept under.

    >>> is_history_file(Path("stats.parquet")), is_history_file(Path("stats.csv"))
    (True, False)
    """
    return path.suffix in _SCANS


class FileHistory:
    """The files of an archive folder, or one file; what is damaged is left out, and named in `troubles`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.troubles: list[str] = []
        self._blocks: dict[str, list[Block]] = {}
        self._beside: dict[str, list[bytes]] = {}
        for scan in self._scans():
            self._blocks.setdefault(scan.topic, []).extend(scan.blocks)
            self.troubles += scan.troubles
            for topic, container in scan.beside.items():
                self._beside.setdefault(topic, []).append(container)
        for blocks in self._blocks.values():
            blocks.sort(key=lambda block: (block.partition, block.first_offset, block.path.name))

    @property
    def name(self) -> str:
        return str(self._path)

    def topics(self) -> list[str]:
        return sorted({*self._blocks, *self._beside})

    def extent(self, topic: str) -> Extent:
        blocks = self._blocks.get(topic, [])
        lasts = [block.from_ms if block.last_ms == _LATEST else block.last_ms for block in blocks]
        first_ms = min((block.from_ms for block in blocks), default=0)
        return Extent(sum(block.records for block in blocks), first_ms, max(lasts, default=0))

    def shares(self, topic: str, span: Span) -> list[Share]:
        by_partition: dict[int, list[Block]] = {}
        for block in self._blocks.get(topic, []):
            if block.from_ms < span.to_ms and block.last_ms >= span.from_ms:
                by_partition.setdefault(block.partition, []).append(block)
        return [
            Share(topic, partition, span, sum(block.records for block in blocks), blocks=tuple(_needed(blocks, span)))
            for partition, blocks in sorted(by_partition.items())
        ]

    def entries(self, share: Share) -> Iterator[list[Entry]]:
        topic, reached = topic_named(share.topic), share.after
        for block in _left(share):
            try:
                entries = read_parquet_block(block, topic) if _is_parquet(block) else read_avro_block(block)
            except CorruptBlockError as damage:
                self.troubles.append(str(damage))
                continue
            fresh = [one for one in entries if one.offset > reached and one.at_ms in share.span]
            reached = max([reached, *(one.offset for one in entries)])
            yield fresh

    def stats(self, share: Share, shape_of: ShapeOf) -> Iterator[StatsBatch]:
        reached = share.after
        for block in _left(share):
            try:
                batch, last = _stats_in(block, share.span, reached, shape_of)
            except CorruptBlockError as damage:
                self.troubles.append(str(damage))
                continue
            reached = max(reached, last)
            yield batch

    def told(self, topic: str) -> Iterator[Entry]:
        for container in self._beside.get(topic, []):
            yield from entries_in(container, topic)
        for share in self.shares(topic, EVER):
            for entries in self.entries(share):
                yield from entries

    def _scans(self) -> list[Scan]:
        if self._path.is_dir():
            return self._scanned_folder()
        if not self._path.exists():
            raise HistoryError(f"{self._path}: found nothing there, wanted a file or folder of `driftline export`")
        if not is_history_file(self._path):
            raise HistoryError(f"{self._path}: found {self._path.suffix or 'no suffix'}, wanted .avro or .parquet")
        return [_SCANS[self._path.suffix](self._path)]

    def _scanned_folder(self) -> list[Scan]:
        scans = []
        files = sorted(path for path in self._path.rglob("*") if is_history_file(path))
        if not files:
            raise HistoryError(
                f"{self._path}: found no .avro and no .parquet file, wanted what `driftline export` writes"
            )
        for path in files:
            try:
                scans.append(_SCANS[path.suffix](path))
            except HistoryError as damage:
                self.troubles.append(f"file left out: {damage}")
        return scans


def _needed(blocks: list[Block], span: Span) -> Iterator[Block]:
    """Leave out blocks that end before the span: where the last arrival is unknown, the next block's first tells."""
    for block, after in zip(blocks, [*blocks[1:], None], strict=True):
        if after is None or block.last_ms != _LATEST or after.from_ms >= span.from_ms:
            yield block


def _left(share: Share) -> Iterator[Block]:
    """Leave out blocks that were read to their end before the next one of their file was begun."""
    for block, after in zip(share.blocks, [*share.blocks[1:], None], strict=True):
        if after is None or after.path != block.path or after.first_offset > share.after:
            yield block


def _is_parquet(block: Block) -> bool:
    return block.path.suffix == ".parquet"


def _stats_in(block: Block, span: Span, reached: int, shape_of: ShapeOf) -> tuple[StatsBatch, int]:
    if not _is_parquet(block):
        return _stats_of_entries(read_avro_block(block), span, reached, shape_of)
    table = read_parquet_columns(block, (*STATS_COLUMNS, "kafka_tombstone"))
    offsets, at_ms = table["kafka_offset"].to_numpy(), table["kafka_time_ms"].to_numpy()
    wanted = (offsets > reached) & (at_ms >= span.from_ms) & (at_ms < span.to_ms)
    if "kafka_tombstone" in table.schema.names:
        wanted &= ~table["kafka_tombstone"].to_numpy()
    if not wanted.all():
        table = table.filter(wanted)
    return stats_of(table, shape_of), int(offsets.max())


def _stats_of_entries(entries: list[Entry], span: Span, reached: int, shape_of: ShapeOf) -> tuple[StatsBatch, int]:
    mine = [one for one in entries if one.offset > reached and one.at_ms in span and one.plain is not None]
    offsets = np.array([one.offset for one in mine], np.int64)
    at_ms = np.array([one.at_ms for one in mine], np.int64)
    found = sort_plain([one.plain for one in mine if one.plain is not None], shape_of)
    return StatsBatch(offsets, at_ms, found), max((one.offset for one in entries), default=-1)
