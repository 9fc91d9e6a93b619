"""Tasks, replayed in as many processes as wanted; what was done before is not done again."""

import multiprocessing
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

from streams.backtest.keeping import Kept
from streams.backtest.midway import Midway
from streams.backtest.replay import Replayed, replay
from streams.backtest.task import Task

__all__ = ["Told", "replayed"]

Told = Callable[[int], None]


def replayed(tasks: Sequence[Task], processes: int, kept: Kept, told: Told) -> list[Replayed]:
    """Return what came of each task; `told` hears how many more records are done."""
    found: dict[int, Replayed] = {}
    for place, task in enumerate(tasks):
        known = kept.find(task)
        if known is not None:
            found[place] = known
            told(task.records)
    left = [place for place in range(len(tasks)) if place not in found]
    if processes <= 1 or len(left) <= 1:
        for place in left:
            found[place] = replay(tasks[place], kept.shares(tasks[place]), told, kept.midway(tasks[place]))
            kept.keep(tasks[place], found[place])
    else:
        for place, one in _side_by_side(tasks, left, processes, kept, told):
            found[place] = one
            kept.keep(tasks[place], one)
    return [found[place] for place in range(len(tasks))]


def _side_by_side(
    tasks: Sequence[Task], places: Sequence[int], processes: int, kept: Kept, told: Told
) -> Iterator[tuple[int, Replayed]]:
    # A fresh process, not a fork: librdkafka's threads do not survive one.
    context = multiprocessing.get_context("spawn")
    with _counted(context, told) as queue:
        pool = ProcessPoolExecutor(
            min(processes, len(places)), mp_context=context, initializer=_tell_by, initargs=(queue,)
        )
        try:
            futures: dict[Future[Replayed], int] = {
                pool.submit(_in_process, tasks[place], kept.shares(tasks[place]), kept.midway(tasks[place])): place
                for place in places
            }
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _counted(context: Any, told: Told) -> Iterator["Queue[int]"]:
    """Give a queue by which processes tell how many records they have done."""
    queue: Queue[int] = context.Queue()

    def listen() -> None:
        while (more := queue.get()) >= 0:
            told(more)

    listener = threading.Thread(target=listen, name="backtest-progress", daemon=True)
    listener.start()
    try:
        yield queue
    finally:
        queue.put(-1)
        listener.join(5)
        queue.close()


_queue: "Queue[int] | None" = None


def _tell_by(queue: "Queue[int]") -> None:
    global _queue
    _queue = queue


def _in_process(task: Task, shares: Path, midway: Midway) -> Replayed:
    told = _queue.put if _queue is not None else lambda _: None
    return replay(task, shares, told, midway)
