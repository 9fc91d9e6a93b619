"""History on a live cluster: bounded stretches of its partitions, found by broker time."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec

from schemas import feeds
from schemas.admin import Admin, BrokerNotReadyError
from schemas.catalogue import CATALOGUE, topic_named
from schemas.cluster import Cluster
from schemas.errors import BadRecordError
from schemas.stats_run import sort_run
from schemas.wire import Contract, key_of_plain
from streams.backtest.history.base import Extent, ShapeOf, Share, StatsBatch
from streams.backtest.history.entry import Entry
from streams.backtest.span import EVER, Span
from streams.drift.replay import replayed
from streams.kafka import Run

__all__ = ["ClusterHistory"]

_PATIENCE_S = 30.0
_FIRST: Any = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_END: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class ClusterHistory:
    """The topics of a cluster, up to where they end when they are asked for."""

    def __init__(self, cluster: Cluster, *, cache_dir: Path | None = None) -> None:
        self.cluster, self._cache_dir = cluster, cache_dir
        self.troubles: list[str] = []
        self._opened: Contract | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Connections stay behind when it is sent to another process.
        return {**vars(self), "_opened": None, "troubles": []}

    @property
    def name(self) -> str:
        return f"cluster {self.cluster.bootstrap}"

    def topics(self) -> list[str]:
        found = Admin(self.cluster).topics(self.cluster.named(name) for name in CATALOGUE)
        return sorted(name for name in CATALOGUE if self.cluster.named(name) in found)

    def extent(self, topic: str) -> Extent:
        shares = self.shares(topic, EVER)
        firsts = [run.timestamps_ms[0] for share in shares for run in self._runs(share, at_most=1)]
        lasts = [run.timestamps_ms[-1] for share in shares for run in self._runs(share, last=True)]
        return Extent(sum(share.records for share in shares), min(firsts, default=0), max(lasts, default=0))

    def shares(self, topic: str, span: Span) -> list[Share]:
        low, high = self._offsets(topic, _FIRST), self._offsets(topic, _END)
        start = self._offsets(topic, OffsetSpec.for_timestamp(span.from_ms)) if span.from_ms > EVER.from_ms else low
        stop = self._offsets(topic, OffsetSpec.for_timestamp(span.to_ms)) if span.to_ms < EVER.to_ms else high
        shares = []
        for number in sorted(high):
            # Below 0: no record is that young.
            first = high[number] if start[number] < 0 else max(start[number], low[number])
            end = high[number] if stop[number] < 0 else min(stop[number], high[number])
            if end > first:
                shares.append(Share(topic, number, span, end - first, start=first, end=end))
        return shares

    def entries(self, share: Share) -> Iterator[list[Entry]]:
        topic = topic_named(share.topic)
        for run in self._runs(share):
            entries = []
            for place, (key, value) in enumerate(zip(run.keys, run.values, strict=True)):
                plain = None
                if value is not None:
                    try:
                        plain = self._contract.plain(topic, value)
                        if key != (wanted := key_of_plain(topic, plain)):
                            raise BadRecordError("key", found=repr(key), wanted=repr(wanted))
                    except BadRecordError as why:
                        self.troubles.append(f"{share.topic}[{share.partition}] offset {run.offsets[place]}: {why}")
                        continue
                headers = {name: held for name, held in run.headers[place] if held is not None}
                entries.append(
                    Entry(share.partition, run.offsets[place], run.timestamps_ms[place], key or b"", plain, headers)
                )
            yield entries

    def stats(self, share: Share, shape_of: ShapeOf) -> Iterator[StatsBatch]:
        for run in self._runs(share):
            values = [value or b"" for value in run.values]
            found = sort_run(self._contract, share.topic, run.keys, values, shape_of)
            yield StatsBatch(np.array(run.offsets, np.int64), np.array(run.timestamps_ms, np.int64), found)

    def told(self, topic: str) -> Iterator[Entry]:
        if topic not in self.topics():
            return
        for share in self.shares(topic, EVER):
            for entries in self.entries(share):
                yield from entries

    @property
    def _contract(self) -> Contract:
        if self._opened is None:
            self._opened = Contract.connect(self.cluster, cache_dir=self._cache_dir)
        return self._opened

    def _runs(self, share: Share, *, at_most: int = 0, last: bool = False) -> Iterator[Run]:
        start = share.end - 1 if last else max(share.start, share.after + 1)
        end = min(share.end, start + at_most) if at_most else share.end
        return replayed(self.cluster, share.topic, share.partition, start, end)

    def _offsets(self, topic: str, spec: Any) -> dict[int, int]:
        """Return an offset of each partition; a topic made a moment ago is waited for."""
        name, admin = self.cluster.named(topic), Admin(self.cluster)
        give_up_s = time.monotonic() + _PATIENCE_S
        while True:
            found = admin.topics([name]).get(name)
            if found is None:
                raise feeds.TopicMissingError(name, self.cluster.bootstrap)
            places = {TopicPartition(name, number): spec for number in range(found.partitions)}
            try:
                return admin.offsets(places, isolation_level=IsolationLevel.READ_COMMITTED)
            except BrokerNotReadyError:
                if time.monotonic() > give_up_s:
                    raise
                time.sleep(0.2)
