"""The engine: readings in, decisions out; features are kept per stream, and models come and go above them."""

import logging
from typing import Final

import numpy as np

from edge_gateway.scorer import Scored, Scorer
from sensing.errors import ReadingError
from sensing.pipelines import Pipeline, Stream
from sensing.pipelines.base import Arrays
from sensing.pipelines.state import join, part
from sensing.sources.base import Readings

__all__ = ["MAX_STREAMS", "Engine"]

_log = logging.getLogger(__name__)

# More sensors than any one box has; a sender that makes up names shall not take all memory.
MAX_STREAMS: Final = 256


class Engine:
    """The streams of one gateway and the models that see them."""

    def __init__(self, pipeline: Pipeline, *, micro_batch: int) -> None:
        self.pipeline = pipeline
        self.streams: dict[str, Stream] = {}
        self.refused = 0
        # Streams whose late readings were told of.
        self._told_late: set[str] = set()
        self._micro_batch = micro_batch

    def take(self, readings: Readings, scorers: list[Scorer]) -> list[list[Scored]]:
        """Run readings through features and all scorers; the first scorer is the one that serves.

        Returns for each micro-batch what each scorer made of it.
        """
        stream = self._stream(readings.stream)
        if stream is None:
            self.refused += len(readings.at_ms)
            return []
        try:
            vectors = stream.extend(readings.at_ms, readings.values)
        except ReadingError as error:
            self.refused += len(readings.at_ms)
            _log.warning("readings refused: stream=%s count=%d reason=%s", readings.stream, len(readings.at_ms), error)
            return []
        if stream.troubles.late and readings.stream not in self._told_late:
            self._told_late.add(readings.stream)
            _log.warning(
                "readings left out: stream=%s; older than the one before them: does the sensor send in order of time?",
                readings.stream,
            )
        done = []
        for start in range(0, len(vectors.at_ms), self._micro_batch):
            chosen = slice(start, start + self._micro_batch)
            at_ms, matrix = vectors.at_ms[chosen], vectors.matrix[chosen]
            done.append([scorer.take(readings.stream, at_ms, matrix) for scorer in scorers])
        return done

    @property
    def late(self) -> int:
        return sum(stream.troubles.late for stream in self.streams.values())

    def freeze(self) -> Arrays:
        names = np.array(list(self.streams), dtype=np.str_)
        frozen = {f"s{place}": stream.freeze() for place, stream in enumerate(self.streams.values())}
        return {"names": names, **join(**frozen)}

    def thaw(self, state: Arrays) -> None:
        for place, name in enumerate(state["names"].tolist()):
            stream = Stream(self.pipeline)
            stream.thaw(part(state, f"s{place}"))
            self.streams[name] = stream

    def _stream(self, name: str) -> Stream | None:
        stream = self.streams.get(name)
        if stream is None and len(self.streams) < MAX_STREAMS:
            stream = self.streams[name] = Stream(self.pipeline)
        elif stream is None and not self.refused:
            _log.error("stream refused: stream=%s; this gateway has %d already", name, MAX_STREAMS)
        return stream
