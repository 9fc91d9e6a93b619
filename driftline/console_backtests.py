"""Backtests that the console starts: one at a time, each in a process and a folder of its own."""

import json
import multiprocessing
import re
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from schemas.cluster import Cluster
from schemas.errors import DriftlineError
from trust.files import write_whole

__all__ = ["LocalBacktests"]

_HOUR_MS = 3_600_000
_KEPT = 50
_ID = re.compile(r"[0-9a-f]{12}")
# Loaded anew: the console's threads and clients are no heritage for a child.
_CHILD = multiprocessing.get_context("spawn")


class LocalBacktests:
    """Keeps what was asked and what came of it in files, so that a restart of the console loses none of it."""

    def __init__(self, cluster: Cluster, folder: Path, *, cache_dir: Path | None) -> None:
        self._cluster, self._folder, self._cache_dir = cluster, folder, cache_dir
        self._lock = threading.Lock()
        self._running: tuple[str, Any] | None = None
        for one in self.all():
            if one["state"] == "running":
                _note(self._folder / one["backtest_id"], state="failed", error="the console ended before it did")

    def start(self, order: Mapping[str, Any], who: str) -> str:
        with self._lock:
            if self._running is not None and self._running[1].is_alive():
                raise DriftlineError(
                    f"backtest {self._running[0]} is still running",
                    hint="wait for it, or cancel it; one runs at a time",
                )
            backtest_id = uuid.uuid4().hex[:12]
            folder = self._folder / backtest_id
            folder.mkdir(parents=True)
            now_ms = time.time_ns() // 1_000_000
            policies = sorted(order["policies"])
            _note(folder, state="running", progress=0.0, who=who, why=order["why"], policies=policies, at_ms=now_ms)
            child = _CHILD.Process(target=_work, args=(folder, self._cluster, self._cache_dir, dict(order), now_ms))
            child.start()
            self._running = (backtest_id, child)
            threading.Thread(target=_watch, args=(folder, child), daemon=True).start()
            self._forget_oldest()
        return backtest_id

    def all(self) -> Sequence[Mapping[str, Any]]:
        if not self._folder.is_dir():
            return []
        found = [self.get(path.name) for path in self._folder.iterdir()]
        return sorted((one for one in found if one is not None), key=lambda one: -one["at_ms"])

    def get(self, backtest_id: str) -> Mapping[str, Any] | None:
        if not _ID.fullmatch(backtest_id):
            return None
        found = _read(self._folder / backtest_id)
        return {"backtest_id": backtest_id, **found} if found else None

    def report(self, backtest_id: str) -> Path | None:
        path = self._folder / backtest_id / "report.html"
        return path if _ID.fullmatch(backtest_id) and path.is_file() else None

    def cancel(self, backtest_id: str) -> bool:
        with self._lock:
            if self._running is None or self._running[0] != backtest_id or not self._running[1].is_alive():
                return False
            _note(self._folder / backtest_id, state="cancelled")
            _end(self._running[1])
        return True

    def close(self) -> None:
        with self._lock:
            if self._running is not None and self._running[1].is_alive():
                _end(self._running[1])

    def _forget_oldest(self) -> None:
        for one in self.all()[_KEPT:]:
            folder = self._folder / one["backtest_id"]
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()


def _work(folder: Path, cluster: Cluster, cache_dir: Path | None, order: Mapping[str, Any], now_ms: int) -> None:
    """Run in the child: replay, and leave the answer in the folder."""
    from streams.backtest.candidate import read_candidates
    from streams.backtest.history import ClusterHistory
    from streams.backtest.report import page, plain
    from streams.backtest.span import Span
    from streams.backtest.study import Question, study

    progress = _Progress(folder)
    try:
        paths = []
        for name, document in order["policies"].items():
            paths.append(folder / f"{name}.toml")
            paths[-1].write_text(document, encoding="utf-8")
        question = Question(
            span=Span(now_ms - int(order["hours"] * _HOUR_MS), now_ms),
            candidates=read_candidates(paths),
            warm_up_ms=_HOUR_MS,
            processes=1,
        )
        history = ClusterHistory(cluster, cache_dir=cache_dir)
        found = study(history, question, told=progress.told, total=progress.expect)
        write_whole(folder / "report.html", page(found).encode())
        result = plain(found)
        summary = {name: result[name] for name in ("records", "devices", "device_days", "policies", "notes")}
        _note(folder, state="done", progress=1.0, summary=summary)
    except DriftlineError as refused:
        _note(folder, state="failed", error=str(refused))


class _Progress:
    def __init__(self, folder: Path) -> None:
        self._folder, self._done, self._total, self._noted = folder, 0, 1, 0.0

    def expect(self, total: int) -> None:
        self._done, self._total = 0, max(total, 1)

    def told(self, more: int) -> None:
        self._done += more
        share = min(self._done / self._total, 0.99)
        if share - self._noted >= 0.01:
            self._noted = share
            _note(self._folder, progress=round(share, 2))


def _watch(folder: Path, child: Any) -> None:
    """A child that was killed cannot say so itself."""
    child.join()
    if _read(folder).get("state") == "running":
        _note(folder, state="failed", error=f"its process ended with {child.exitcode}")


def _end(child: Any) -> None:
    child.terminate()
    child.join(5)
    if child.is_alive():
        child.kill()
        child.join()


def _note(folder: Path, **news: Any) -> None:
    write_whole(folder / "state.json", json.dumps({**_read(folder), **news}).encode())


def _read(folder: Path) -> dict[str, Any]:
    with suppress(FileNotFoundError, NotADirectoryError, ValueError):
        found: dict[str, Any] = json.loads((folder / "state.json").read_bytes())
        return found
    return {}
