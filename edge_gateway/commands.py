"""Following the topic of commands: one's own partition only, from the place that was kept."""

import json
import logging
import threading
from collections.abc import Callable, Collection
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

from schemas import feeds
from schemas.catalogue import topic_named
from schemas.cluster import Cluster
from schemas.errors import BadRecordError, DriftlineError, SchemaError
from schemas.record import from_plain
from schemas.rollouts import Command
from schemas.tracing import Context, context_from, context_in

__all__ = ["COMMANDS", "Follower", "Received", "received_of"]

_log = logging.getLogger(__name__)

COMMANDS = "rollouts.commands"
_POLL_S = 0.5
_RETRY_S = 5.0


class Received(NamedTuple):
    """A command as it came, unverified, and the place behind it, to be kept when it is dealt with."""

    command: Command
    position: str
    # The headers by which its carrying out belongs to a trace.
    trace: Context = ()


def received_of(content: bytes, position: str) -> Received:
    """Return the command that a bridge hands out, JSON, unverified; fields of newer versions are left out."""
    try:
        plain = json.loads(content)
        known = {field.name: plain[field.name] for field in fields(Command) if field.name in plain}
        return Received(from_plain(Command, known), position, context_from(plain.get("trace")))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, SchemaError) as error:
        raise BadRecordError("command", found=f"{error}", wanted="a command, JSON") from error


class Follower:
    """A thread that hands over the commands for some devices, until it is stopped; it outlives every outage.

    A gateway follows its own device; who plays many devices follows for all of them at once.
    """

    def __init__(
        self,
        cluster: Cluster,
        device_ids: Collection[str],
        deliver: Callable[[Received], None],
        *,
        resume: str | None = None,
        cache_dir: Path | None = None,
    ) -> None:
        self._cluster = cluster
        self._device_ids = frozenset(device_ids)
        self._deliver = deliver
        self._resume = resume
        self._cache_dir = cache_dir
        self._stopped = threading.Event()
        self._feed: feeds.Feed[Command] | None = None
        self._thread = threading.Thread(target=self._run, name="commands", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        self._stopped.set()
        if self._feed is not None:
            self._feed.stop()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._follow()
            except DriftlineError as error:
                _log.warning("commands cannot be followed: %s", error)
                self._stopped.wait(_RETRY_S)

    def _follow(self) -> None:
        partitions = {feeds.partition_of(device, topic_named(COMMANDS).partitions) for device in self._device_ids}
        with feeds.read(
            self._cluster,
            COMMANDS,
            keys=self._device_ids,
            partitions=sorted(partitions),
            resume=self._position(),
            wait_s=_RETRY_S,
            cache_dir=self._cache_dir,
        ) as feed:
            self._feed = feed
            while not self._stopped.is_set():
                feed.fill(_POLL_S)
                while (event := feed.next_event()) is not None:
                    self._resume = feed.position().to_json()
                    if isinstance(event, feeds.Changed):
                        self._deliver(Received(event.value, self._resume, context_in(event.headers)))
                    elif isinstance(event, feeds.Bad):
                        _log.error("command unreadable: offset=%s reason=%s", event.offset, event.reason)

    def _position(self) -> feeds.Position | None:
        if self._resume is None:
            return None
        try:
            return feeds.Position.from_json(self._resume)
        except DriftlineError as error:
            _log.warning("commands are read anew: %s", error)
            return None
