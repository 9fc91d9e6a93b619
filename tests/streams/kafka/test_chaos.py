"""Two workers that join, leave, stall and are killed at random, while what they commit is watched all the time."""

import random
import signal
import subprocess
import threading
import time

import pytest
from confluent_kafka import TopicPartition
from patience import PATIENCE_S

PARTITIONS = 6


class Watch(threading.Thread):
    """Polls what the group has committed and notes where it was ahead of the work."""

    def __init__(self, workers) -> None:
        super().__init__(daemon=True)
        self._workers = workers
        self._enough = threading.Event()
        self.polls = 0
        self.ahead: list[tuple[int, int, int]] = []

    def run(self) -> None:
        wanted = [TopicPartition(self._workers.topic, number) for number in range(PARTITIONS)]
        consumer = self._workers.broker.offsets_of(self._workers.group)
        while not self._enough.is_set():
            committed = consumer.committed(wanted, timeout=PATIENCE_S)
            # Work is written down before it is acked, so what is read now covers what was committed then.
            self._workers.log.refresh()
            self.polls += 1
            for position in committed:
                done = self._workers.log.front(position.partition)
                if position.offset > done:
                    self.ahead.append((position.partition, position.offset, done))
            time.sleep(0.01)
        consumer.close()

    def finish(self) -> None:
        self._enough.set()
        self.join()


class Trouble:
    """Makes things happen to the workers, the same for the same seed."""

    def __init__(self, workers, seed: int) -> None:
        self._workers = workers
        self._chance = random.Random(seed)
        # One worker keeps its name over restarts (static membership), one is new every time.
        self._slots: dict[str, subprocess.Popen[bytes] | None] = {"steady": None, "": None}
        self.counts: dict[str, int] = {"join": 0, "leave": 0, "kill": 0, "stall": 0}

    def go_on_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._happen(self._chance.choice(list(self._slots)))
            time.sleep(self._chance.uniform(0.3, 2.5))

    def leave_all_running(self) -> None:
        for name, worker in self._slots.items():
            if worker is None or worker.poll() is not None:
                self._slots[name] = self._workers.start(instance=name)

    def _happen(self, name: str) -> None:
        worker = self._slots[name]
        if worker is None or worker.poll() is not None:
            self._slots[name] = self._workers.start(instance=name)
            self.counts["join"] += 1
            return
        what = self._chance.choice(["leave", "kill", "kill", "stall"])
        self.counts[what] += 1
        if what == "leave":
            worker.send_signal(signal.SIGTERM)
            worker.wait(PATIENCE_S)
        elif what == "kill":
            worker.kill()
            worker.wait()
        else:
            # Longer than the session timeout now and then: it wakes up as a member that was thrown out.
            worker.send_signal(signal.SIGSTOP)
            time.sleep(self._chance.choice([0.5, 7.5]))
            worker.send_signal(signal.SIGCONT)


def assert_survives(broker, workers, *, records: int, seconds: float, seed: int, **settings: str) -> None:
    topic = broker.topic(partitions=PARTITIONS)
    broker.produce(topic, [b"%d" % number for number in range(records)])
    group = workers(topic, records_per_s=str(0.7 * records / seconds), **settings)
    watch, trouble = Watch(group), Trouble(group, seed)
    watch.start()

    trouble.go_on_for(seconds)
    trouble.leave_all_running()
    deadline = time.monotonic() + 60 + seconds
    while group.log.count() < records and time.monotonic() < deadline:
        time.sleep(0.2)
    watch.finish()

    ends = broker.ends(topic, PARTITIONS)
    assert [group.log.front(number) for number in range(PARTITIONS)] == ends, group.words()[-4000:]
    assert watch.ahead == []
    assert watch.polls > 10 * seconds
    assert trouble.counts["kill"] > 0
    assert trouble.counts["join"] > 1
    print(f"{trouble.counts}, {watch.polls} polls, {group.log.repeated()} of {records} records done again")


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("seed", "settings"),
    [(1, {}), (2, {}), (3, {"together": "yes", "tell_s": "0.1"})],
    ids=["one by one", "one by one, otherwise", "done while the next are worked on"],
)
def test_two_minutes_of_trouble_lose_nothing_and_commit_nothing_early(broker, workers, seed, settings):
    assert_survives(broker, workers, records=600_000, seconds=120, seed=seed, **settings)
