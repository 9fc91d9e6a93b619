"""A feed: a topic's present state, then a marker, then what changes."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, Message

from schemas.admin import BrokerAwayError, BrokerNotReadyError
from schemas.catalogue import Topic
from schemas.cluster import Cluster
from schemas.errors import RegistryAwayError
from schemas.feeds.errors import FeedClosedError, FeedRefusedError, TopicMissingError
from schemas.feeds.events import CaughtUp, Event, Reason, Restarted, Skipped
from schemas.feeds.interpreter import Counts, Interpreter
from schemas.feeds.position import Position, Reached
from schemas.feeds.progress import Progress, after_end, after_records, is_current, may_have_missed
from schemas.feeds.source import Checked, Fetched, Source
from schemas.feeds.start import Facts, Start, begin_log, begin_state
from schemas.wire import Contract

__all__ = ["Feed", "wall_ms"]

log = logging.getLogger(__name__)

T = TypeVar("T")

_AT_MOST = 1_000
_POLL_S = 0.5
_RETRY_S = 0.5
_DENIED_S = 1.5
# So often may a state be read anew without ever becoming whole.
_ROUNDS = 3
_PLACE_GONE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}
_TOPIC_GONE = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_TOPIC_ID,
    KafkaError.INCONSISTENT_TOPIC_ID,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Feed(Generic[T]):
    """One reader of one topic: iterate, or `poll`. Used by one thread at a time; only `stop` may come from another."""

    def __init__(
        self,
        cluster: Cluster,
        topic: Topic,
        *,
        state: bool,
        partitions: Collection[int] | None = None,
        keys: Collection[str] | None = None,
        where: Callable[[T], bool] | None = None,
        resume: Position | None = None,
        from_ms: int | None = None,
        until_current: bool = False,
        wait_s: float = 10.0,
        check_every_s: float = 15.0,
        cache_dir: Path | None = None,
        clock_ms: Callable[[], int] = wall_ms,
        contract: Contract | None = None,
    ) -> None:
        self.topic = topic
        self.counts = Counts()
        self._cluster = cluster
        self._state = state
        self._saved = resume
        self._from_ms = from_ms
        self._until_current = until_current
        self._wait_s = wait_s
        self._check_every_s = check_every_s
        self._clock_ms = clock_ms
        self._contract = contract or Contract.connect(cluster, cache_dir=cache_dir)
        self._interpreter = Interpreter(self._contract, topic, keys=keys, where=where, counts=self.counts)
        self._source = Source(cluster, topic, partitions=partitions, clock_ms=clock_ms)
        self._stopped = threading.Event()
        self._closed = False
        self._opened = False
        self._topic_id = ""
        self._tombstone_life_ms = 0
        # Read but not yet decoded; decoded but not yet handed over.
        self._undecoded: deque[Message] = deque()
        self._pending: deque[Event[T]] = deque()
        # Where the reader is behind all that was read, and where it was before; between them, what was handed over.
        self._progress: dict[int, Progress] = {}
        self._before: dict[int, Progress] = {}
        self._handed: dict[int, int] = {}
        self._told_current = False
        self._must_rejoin = False
        self._cut = False
        self._given_up = False
        self._outlived_in_a_row = 0
        self._check_at_s = 0.0
        self._registry_away_since_s: float | None = None
        self._registry_confirmed = False

    def open(self) -> Self:
        """Find the topic, waiting up to `wait_s` for a broker, and begin; a second call changes nothing."""
        if not self._opened:
            self._begin(self._patiently())
            self._opened = True
        return self

    def poll(self, timeout_s: float) -> list[Event[T]]:
        """Return what there is to tell, waiting up to `timeout_s` where there is nothing yet."""
        self.fill(timeout_s)
        events = []
        while (event := self.next_event()) is not None:
            events.append(event)
        return events

    def __iter__(self) -> Iterator[Event[T]]:
        """Tell what happens, until `stop`, or with `until_current` until the marker."""
        while not self._stopped.is_set():
            event = self.next_event()
            if event is None:
                self.fill(_POLL_S)
                continue
            yield event
            if self._until_current and isinstance(event, CaughtUp):
                return

    def next_event(self) -> Event[T] | None:
        """Hand over the next event that is at hand."""
        if not self._pending:
            return None
        event = self._pending.popleft()
        if isinstance(event, Restarted):
            self._saved = None
        elif not isinstance(event, CaughtUp | Skipped):
            self._handed[event.partition] = event.offset + 1
        return event

    def fill(self, timeout_s: float) -> None:
        """Read on, unless there are events at hand."""
        if self._closed:
            raise FeedClosedError(f"the feed of {self.topic.name} is closed")
        self.open()
        if self._pending:
            return
        if self._must_rejoin and not self._rejoined(timeout_s):
            return
        if not self._undecoded:
            self._watch_topic()
            # Where the past is over already, the marker waits for nothing.
            is_over = not self._told_current and is_current(self._progress.values())
            self._absorb(self._source.fetch(at_most=_AT_MOST, timeout_s=0 if is_over else timeout_s))
        self._interpret(timeout_s)

    def position(self) -> Position:
        """Return the place behind the event that was handed over last, to go on from by `resume`."""
        self.open()
        if self._saved is not None and self._restart_is_untold():
            # Kept now, the new place would hide from whoever resumes that what they hold is void.
            return self._saved
        if not self._pending and not self._undecoded:
            return self._position(self._progress)
        return self._position(
            {
                partition: Progress(self._handed.get(partition, at.next_offset), at.target, at.as_of_ms)
                for partition, at in self._before.items()
            }
        )

    @property
    def current(self) -> bool:
        """The marker was handed over, and no restart has made it void."""
        return self._told_current and not self._pending

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def stop(self) -> None:
        """End an iteration, from whichever thread; `close` is still to be called."""
        self._stopped.set()

    def close(self) -> None:
        self._stopped.set()
        if not self._closed:
            self._closed = True
            self._source.close()

    def __enter__(self) -> Self:
        try:
            return self.open()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _patiently(self) -> Facts:
        deadline_s = time.monotonic() + self._wait_s
        denied_since_s: float | None = None
        while True:
            try:
                return self._source.facts()
            except BrokerAwayError as error:
                if self._stopped.is_set() or time.monotonic() >= deadline_s:
                    raise
                # A topic that was made a moment ago is ordinary.
                level = logging.DEBUG if isinstance(error, BrokerNotReadyError) else logging.WARNING
                log.log(level, "waiting for a broker: topic=%s reason=%s", self._source.name, error)
            except TopicMissingError:
                # A broker that has just started denies topics that it is about to know.
                denied_since_s = denied_since_s or time.monotonic()
                if self._stopped.is_set() or time.monotonic() - denied_since_s >= min(self._wait_s, _DENIED_S):
                    raise
            self._stopped.wait(0.05)

    def _begin(self, facts: Facts) -> None:
        start = self._start(facts)
        self._topic_id, self._tombstone_life_ms = facts.topic_id, facts.tombstone_life_ms
        self._progress = dict(start.progress)
        self._before, self._handed = self._progress, {}
        self._undecoded.clear()
        self._pending.extend(start.told)
        for told in start.told:
            log.warning("feed does not go on from where it was: %s", told)
            if isinstance(told, Restarted):
                self.counts.restarts += 1
                self._told_current = False
            else:
                self.counts.skipped += told.to_offset - told.from_offset
        self._source.read_from(self._progress)
        self._must_rejoin = self._cut = self._given_up = False
        self._check_at_s = time.monotonic() + self._check_every_s

    def _start(self, facts: Facts) -> Start:
        saved = self._saved
        if self._cut and saved is not None and saved.topic_id == facts.topic_id:
            # The log was cut and may have grown again: the same offsets, other records.
            told = Restarted(facts.topic, Reason.POSITION_GONE, "the log was cut behind the position")
            return Start(begin_state(facts, None).progress, (told,))
        if self._state:
            return begin_state(facts, saved)
        from_offsets = facts.high if self._from_ms is None else self._source.offsets_at(facts, self._from_ms)
        return begin_log(facts, saved, from_offsets)

    def _rejoined(self, timeout_s: float) -> bool:
        """Begin again from our own place, which tells by itself whether that is still one."""
        if not self._restart_is_untold():
            self._saved = self.position()
        try:
            self._begin(self._source.facts())
        except (BrokerAwayError, TopicMissingError) as error:
            log.warning("waiting to read on: topic=%s reason=%s", self._source.name, error)
            self._stopped.wait(min(timeout_s, _RETRY_S))
            return False
        return True

    def _absorb(self, fetched: Fetched) -> None:
        """Take over what was fetched: records to be decoded, and how far we are now."""
        progress = dict(self._progress)
        last: dict[int, Message] = {}
        for message in fetched.messages:
            error, partition = message.error(), message.partition() or 0
            if error is None:
                self._undecoded.append(message)
                last[partition] = message
            elif error.code() == KafkaError._PARTITION_EOF and partition in progress:
                if partition in last:
                    progress[partition] = _behind(progress[partition], last.pop(partition))
                end = message.offset() or 0
                if end < progress[partition].next_offset:
                    # The log is shorter than what was read of it: perhaps another topic by now.
                    self._check_at_s = 0.0
                progress[partition] = after_end(progress[partition], end_offset=end, seen_ms=fetched.drained_ms)
            else:
                self._on_trouble(error)
        for partition, message in last.items():
            progress[partition] = _behind(progress[partition], message)
        if self._outlived(progress):
            self._refuse_to_go_round()
            self._must_rejoin = True
        if self._must_rejoin:
            self._undecoded.clear()
            return
        self._before, self._handed, self._progress = self._progress, {}, progress

    def _refuse_to_go_round(self) -> None:
        self._outlived_in_a_row += 1
        if self._outlived_in_a_row >= _ROUNDS:
            raise FeedRefusedError(
                f"topic {self._source.name}: delete.retention.ms is {self._tombstone_life_ms}, wanted more than a "
                "reader takes to read its state; what was forgotten meanwhile would stay",
                hint="`driftline topics check` shows what the catalogue has",
            )

    def _outlived(self, progress: dict[int, Progress]) -> bool:
        return self._state and any(
            may_have_missed(
                self._progress[partition],
                end_offset=at.next_offset,
                now_ms=self._clock_ms(),
                tombstone_life_ms=self._tombstone_life_ms,
            )
            for partition, at in progress.items()
        )

    def _on_trouble(self, error: KafkaError) -> None:
        self.counts.troubles += 1
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise FeedRefusedError(f"topic {self._source.name} may not be read by us: {error.str()}")
        if error.code() in _PLACE_GONE:
            self._must_rejoin = True
        elif error.code() == KafkaError._LOG_TRUNCATION:
            self._must_rejoin = self._cut = True
        elif error.code() in _TOPIC_GONE:
            # The client has given the topic up; if it is still there, or is there again, take it up anew.
            self._given_up, self._check_at_s = True, 0.0
        # Brokers come and go, and the group that we do not use may be closed to us: read on.
        log.info("feed met a trouble: topic=%s reason=%s", self._source.name, error.str())

    def _watch_topic(self) -> None:
        """Now and then ask whether it is still the same topic; a new one may look just like the old."""
        checked = self._source.answer()
        if checked is not None:
            self._learn(checked)
        if time.monotonic() >= self._check_at_s:
            self._check_at_s = time.monotonic() + self._check_every_s
            self._source.ask()
            # Until the registry has said so once, schema ids from the disk may stand for something else.
            self._registry_confirmed = self._registry_confirmed or self._contract.registry.confirm()

    def _learn(self, checked: Checked) -> None:
        if checked.topic_id is None:
            log.warning("the topic is gone, waiting for it: topic=%s", self._source.name)
            self._check_at_s = min(self._check_at_s, time.monotonic() + _RETRY_S)
        elif checked.topic_id != self._topic_id or self._given_up:
            self._must_rejoin = True
        for partition, end in checked.ends.items():
            # Nothing was written up to then, so we have missed nothing up to then.
            at = self._progress.get(partition)
            if at is not None and at.next_offset == end and not self._must_rejoin:
                self._progress[partition] = after_end(at, end_offset=end, seen_ms=checked.asked_ms)

    def _interpret(self, timeout_s: float) -> None:
        while self._undecoded:
            try:
                event = self._interpreter.event_of(self._undecoded[0])
            except RegistryAwayError as error:
                self._wait_for_registry(error, timeout_s)
                return
            self._registry_away_since_s = None
            self._undecoded.popleft()
            if event is not None:
                self._pending.append(event)
        if not self._told_current and not self._must_rejoin and is_current(self._progress.values()):
            self._told_current = True
            self._outlived_in_a_row = 0
            self._pending.append(CaughtUp(self.topic.name))

    def _wait_for_registry(self, error: RegistryAwayError, timeout_s: float) -> None:
        now_s = time.monotonic()
        if self._registry_away_since_s is None:
            self._registry_away_since_s = now_s
            self.counts.waits_for_registry += 1
            log.warning("waiting for the registry: topic=%s reason=%s", self._source.name, error)
        # A reader that has begun goes on when the registry is back; one that has not is most likely set up wrongly.
        if not self.counts.records and now_s - self._registry_away_since_s >= self._wait_s:
            raise error
        if not self._pending:
            self._stopped.wait(min(timeout_s, _RETRY_S))

    def _restart_is_untold(self) -> bool:
        return any(isinstance(event, Restarted) for event in self._pending)

    def _position(self, progress: dict[int, Progress]) -> Position:
        return Position(
            self._topic_id,
            {partition: Reached(at.next_offset, at.as_of_ms) for partition, at in progress.items()},
        )


def _behind(progress: Progress, message: Message) -> Progress:
    kind, at_ms = message.timestamp()
    newest_ms = at_ms if kind == TIMESTAMP_LOG_APPEND_TIME else 0
    return after_records(progress, next_offset=(message.offset() or 0) + 1, newest_ms=newest_ms)
