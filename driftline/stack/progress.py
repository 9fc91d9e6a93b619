"""How a long download shows itself: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import threading
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

__all__ = ["Progress"]

_PLAIN_LINE_EVERY_BYTES = 25_000_000


class Progress:
    """Counts bytes as they arrive, from several threads at once.

    `total_bytes` is what will arrive in all, or `None` where that is not known beforehand.
    """

    def __init__(self, *, total_bytes: int | None) -> None:
        self._total = total_bytes
        self._arrived = 0
        self._shown = 0
        self._guard = threading.Lock()
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        console = Console(stderr=True)
        if console.is_terminal:
            self._bar = Bar(
                TextColumn("downloading Kafka and the registry"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=console,
            )
            self._bar.add_task("", total=self._total)
            self._bar.start()
        else:
            self._line("downloading Kafka and the registry")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif error is None:
            self._line(f"downloaded {_megabytes(self._arrived)}")

    def advance(self, size: int) -> None:
        """`size` more bytes have arrived; a negative number takes back what must be fetched again."""
        with self._guard:
            self._arrived += size
            if self._bar is not None:
                self._bar.advance(self._bar.task_ids[0], size)
            elif self._arrived - self._shown >= _PLAIN_LINE_EVERY_BYTES:
                self._shown = self._arrived
                of = f" of {_megabytes(self._total)}" if self._total else ""
                self._line(f"downloaded {_megabytes(self._arrived)}{of}")

    def _line(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
