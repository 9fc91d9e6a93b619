"""The sink: one topic after the other, in turn, until it is stopped."""

import fcntl
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from schemas import feeds
from schemas.cluster import Cluster
from schemas.wire import Contract
from trainer.dead_letters import dead_letter
from trainer.errors import TrainerError
from trainer.offline.kinds import KINDS
from trainer.offline.sink import Flushing, TopicSink
from trainer.publishing import Publisher
from trainer.readiness import Readiness

__all__ = ["run_sink"]

log = logging.getLogger(__name__)

_SERVICE = "sink"
_IDLE_S = 0.2


def run_sink(
    cluster: Cluster,
    folder: Path,
    stop: threading.Event,
    *,
    flushing: Flushing,
    clock_ms: Callable[[], int],
    cache_dir: Path | None = None,
    readiness: Readiness | None = None,
) -> None:
    """Fill `folder` from the topics until `stop` is set; what was read by then is written before it returns."""
    readiness = readiness or Readiness()
    with ExitStack() as resources:
        resources.enter_context(_alone_in(folder))
        # Two folders may be filled from one fleet; each has its own writer of dead letters.
        name = f"{_SERVICE}-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]}"
        publisher = Publisher(cluster, Contract.connect(cluster, cache_dir=cache_dir), name=name).start()
        resources.callback(publisher.close)

        def report(bad: list[feeds.Bad]) -> None:
            now_ms = clock_ms()
            publisher.publish([("dead-letters", dead_letter(one, found_by=_SERVICE, now_ms=now_ms)) for one in bad])

        sinks = []
        for kind in KINDS:
            sink = TopicSink(cluster, kind, folder, flushing=flushing, report=report, cache_dir=cache_dir)
            resources.callback(sink.close)
            sinks.append(sink)
        log.info("sink active: folder=%s topics=%s", folder, ", ".join(kind.topic for kind in KINDS))
        while not stop.is_set():
            busy = [sink.step(now_s=time.monotonic()) for sink in sinks]
            readiness.lacks(f"{one.kind.topic} is not read up to its end yet" for one in sinks if not one.current)
            if not any(busy):
                stop.wait(_IDLE_S)
        for sink in sinks:
            sink.flush()
            log.info("sink stopped: topic=%s %s", sink.kind.topic, sink.counts)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder for oneself; whoever dies lets go of it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".sink.lock").open("w")
    except OSError as error:
        raise TrainerError(f"{folder} cannot be filled: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainerError(f"another sink fills {folder}", hint="one sink a folder; stop it first") from None
        yield
