"""What the readers of the bulk benchmark share: the decode, and the clock. Imports nothing that a rival lacks."""

import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import fastavro
import numpy as np

__all__ = ["Clock", "decoder"]

HEADER_BYTES = 5


def decoder(schema: Path) -> Callable[[bytes], dict[str, Any]]:
    """Return the decode that every reader applies: plain fastavro, and the counts opened without a copy."""
    parsed = fastavro.parse_schema(json.loads(schema.read_text()))
    read, stream, open_array = fastavro.schemaless_reader, io.BytesIO, np.frombuffer

    def decode(value: bytes) -> dict[str, Any]:
        record: dict[str, Any] = read(stream(value[HEADER_BYTES:]), parsed)
        record["counts"] = open_array(record["counts"], "<u4")
        return record

    return decode


class Clock:
    """Times all records after a first share, by which a reader is warm, and ends the process with the last."""

    def __init__(self, records: int, *, warm: float = 0.1) -> None:
        self._records = records
        self._warm_at = int(records * warm)
        self._seen = 0
        self._timed_from = 0
        self._began = 0.0
        self._cpu_before = 0.0

    def count(self, records: int) -> None:
        self._seen += records
        if not self._began and self._seen >= self._warm_at:
            self._timed_from, self._began, self._cpu_before = self._seen, time.perf_counter(), time.process_time()
        elif self._seen >= self._records:
            self._finish()

    def _finish(self) -> NoReturn:
        elapsed, cpu = time.perf_counter() - self._began, time.process_time() - self._cpu_before
        timed = self._seen - self._timed_from
        print(f"measured {timed / elapsed:.0f} {cpu / timed * 1e6:.2f}", flush=True)
        # Nothing is to be closed tidily: the topic and the group go with the benchmark.
        os._exit(0)
