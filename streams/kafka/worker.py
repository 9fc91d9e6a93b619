"""Running a bulk app as a process of its own."""

import ctypes
import logging
import os
import signal
import sys
import threading
import time
from math import ceil
from typing import NoReturn

import faust
from aiokafka.errors import KafkaConnectionError

from schemas.admin import BrokerAwayError
from schemas.errors import DriftlineError
from streams.collecting import collect_seldom

__all__ = ["run_worker"]

log = logging.getLogger(__name__)

CRASH_GRACE_S = 20.0
"""How long a crashed worker may take to say its last words."""

STOP_GRACE_S = 8.0
"""How long a worker that was told to stop may take to finish; Docker kills what takes ten seconds."""

GIL_SWITCH_S = 0.001

# From glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def run_worker(app: faust.App, *, loglevel: str = "warning") -> NoReturn:
    """Run `app` until SIGTERM or SIGINT; what is being worked on is finished and committed first.

    The process ends with 0 then, and with 1 after an exception in an agent. It also ends with 1 where it cannot finish
    within `STOP_GRACE_S`, as without a broker that would take the commit: what follows the last commit is read again.
    A `DriftlineError` is told as commands tell it, whatever else ends a worker by its traceback.
    """
    _settle_in()
    code = 1
    try:
        _Worker(app, loglevel=loglevel, redirect_stdouts=False).execute_from_commandline()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        # After a crash Faust may leave its consumer's thread running, and the interpreter would wait for it for ever.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class _Worker(faust.Worker):
    _told: DriftlineError | None = None

    async def start(self) -> None:
        """Start, and stay until the end."""
        begun_s = time.monotonic()
        # It would draw into log files, and there is nothing to see but a second of waiting.
        self.spinner = None
        try:
            await super().start()
        except KafkaConnectionError as error:
            bootstrap = ",".join(f"{broker.host}:{broker.port}" for broker in self.app.conf.broker)
            waited_s = ceil(time.monotonic() - begun_s)
            away = BrokerAwayError(bootstrap=bootstrap, waited_s=waited_s, reason="no connection")
            self._tell(away)
            raise away from error
        except DriftlineError as error:
            self._tell(error)
            raise

    def on_setup_root_logger(self, logger: logging.Logger, level: int) -> None:
        """Have our own errors logged without tracebacks: they say in words what to do."""
        super().on_setup_root_logger(logger, level)
        for handler in logger.handlers:
            handler.addFilter(_without_our_traceback)

    def _tell(self, error: DriftlineError) -> None:
        if self._told is None:
            self._told = error
            hint = f"hint: {error.hint}\n" if error.hint else ""
            sys.stderr.write(f"error: {error}\n{hint}")

    def _crash(self, reason: BaseException) -> None:
        """See to it that the process ends whatever hangs on the way, so that whoever runs it starts it again."""
        if isinstance(reason, DriftlineError) and self.crash_reason is None:
            self._tell(reason)
        super()._crash(reason)
        _end_within(CRASH_GRACE_S, "crashed")

    def _schedule_shutdown(self, signal: signal.Signals) -> None:
        """See to it that the process ends though a join is pending, a broker is away, or state is being restored."""
        super()._schedule_shutdown(signal)
        _end_within(STOP_GRACE_S, "told to stop")


def _end_within(seconds: float, why: str) -> None:
    def end() -> None:
        log.warning("ended unfinished: why=%s waited_s=%g", why, seconds)
        os._exit(1)

    last_resort = threading.Timer(seconds, end)
    last_resort.daemon = True
    last_resort.start()


def _without_our_traceback(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info[1], DriftlineError):
        record.exc_info = record.exc_text = None
    return True


def _settle_in() -> None:
    """Make the process fit for two busy threads and for buffers of some megabytes that come and go."""
    # The thread that takes what librdkafka has fetched waits this long for a busy agent to hand over the interpreter.
    sys.setswitchinterval(GIL_SWITCH_S)
    collect_seldom()
    # Otherwise each buffer is given back to the kernel and comes anew page by page: a fifth of the time of a record.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 32 * 1024**2)
        mallopt(M_TRIM_THRESHOLD, 256 * 1024**2)
