import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import console_fleet as made
import numpy as np
import pytest
import redis
from console_servers import Gate
from patience import PATIENCE_S, eventually

from schemas.canonical import with_content_id
from schemas.catalogue import topic_named
from schemas.drift_alert import AlertState, Severity
from schemas.feature_stats import FeatureStats
from schemas.fleet import Device, DeviceState
from schemas.grid import FeatureGrid, FeatureKind, Grid
from schemas.partition import partition_of
from streams.views.service import ViewsWorker

GRID = with_content_id(
    Grid(
        grid_id="",
        pipeline="machine/1",
        bins=2,
        features=(
            FeatureGrid(name="temperature", kind=FeatureKind.NUMERIC, edges=(20.0,)),
            FeatureGrid(name="pressure", kind=FeatureKind.NUMERIC, edges=(1.0,)),
        ),
    )
)


@pytest.fixture
def send(publish) -> Callable[[str, object], None]:
    return lambda topic, record: publish(topic, [record])


@pytest.fixture
def view(redis_url, prefix) -> Callable[[str], dict[str, str]]:
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    return lambda name: client.hgetall(f"{prefix}driftline:{name}")


@pytest.fixture
def worker(cluster, redis_url) -> Iterator[ViewsWorker]:
    with running(ViewsWorker(cluster, redis_url)) as worker:
        yield worker


class running:  # noqa: N801
    def __init__(self, worker: ViewsWorker) -> None:
        self.worker = worker
        self.thread = threading.Thread(target=worker.run)

    def __enter__(self) -> ViewsWorker:
        self.thread.start()
        return self.worker

    def __exit__(self, *_exception: object) -> None:
        self.worker.stop()
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()


def test_the_latest_features_of_a_device_are_one_read_with_their_names(send, view, worker):
    send("models.grids", GRID)
    send("telemetry.feature-stats", window(seq=0, end_ms=60_000, mean=[19.5, np.nan]))

    features = json.loads(eventually(lambda: view("device:press-7").get("features")))

    assert features["mean"] == {"temperature": 19.5, "pressure": None}


def test_a_backlog_does_not_replace_what_is_newer(send, view, worker):
    send("telemetry.feature-stats", window(seq=9, end_ms=600_000, mean=[9.0, 9.0]))
    send("telemetry.feature-stats", window(seq=1, end_ms=60_000, mean=[1.0, 1.0]))
    # What lies behind them on their partition has been read after them.
    partitions = topic_named("telemetry.feature-stats").partitions
    others = (f"press-{number}" for number in itertools.count(8))
    behind = next(one for one in others if partition_of(one, partitions) == partition_of("press-7", partitions))
    send("telemetry.feature-stats", window(seq=10, end_ms=660_000, mean=[10.0, 10.0], device_id=behind))
    eventually(lambda: view(f"device:{behind}").get("features"))

    features = json.loads(view("device:press-7")["features"])

    assert features["window_end_ms"] == 600_000


def test_views_are_rebuilt_when_redis_has_lost_them(cluster, redis_url, send, view, prefix):
    send("fleet.devices", device("press-7"))
    with running(ViewsWorker(cluster, redis_url)):
        eventually(lambda: view("device:press-7"))
    client = redis.Redis.from_url(redis_url)
    client.unlink(*client.scan_iter(match=f"{prefix}*"))

    with running(ViewsWorker(cluster, redis_url)):
        found = json.loads(eventually(lambda: view("device:press-7").get("device")))

    assert found["labels"] == {"region": "north"}


@pytest.mark.parametrize("workers", [1, 2])
def test_views_that_redis_loses_while_they_are_kept_are_rebuilt_by_who_keeps_them(
    cluster, redis_url, send, view, prefix, workers
):
    send("fleet.devices", device("press-7"))
    with ExitStack() as keeping:
        for _ in range(workers):
            keeping.enter_context(running(ViewsWorker(cluster, redis_url)))
        eventually(lambda: "press-7" in view("fleet"))
        client = redis.Redis.from_url(redis_url)
        client.unlink(*client.scan_iter(match=f"{prefix}*"))
        send("fleet.devices", device("press-8"))

        eventually(lambda: {"press-7", "press-8"} <= view("fleet").keys())


def test_what_redis_lost_of_the_last_moments_is_read_again(cluster, redis_url, send, view, prefix):
    send("fleet.devices", device("press-7"))
    positions = f"{prefix}driftline:positions"
    with running(ViewsWorker(cluster, redis_url)):
        eventually(lambda: "press-7" in view("fleet"))
        client = redis.Redis.from_url(redis_url)
        with client.pipeline() as back_in_time:
            back_in_time.hdel(f"{prefix}driftline:fleet", "press-7")
            back_in_time.hdel(positions, "fleet.devices")
            back_in_time.execute()

        eventually(lambda: "press-7" in view("fleet"))


def test_a_worker_whose_redis_is_away_is_not_ready_and_says_why(cluster, redis_url):
    with Gate(redis_url) as gate, running(ViewsWorker(cluster, gate.url)) as worker:
        eventually(lambda: worker.waiting() == [])
        gate.shut()
        away = eventually(lambda: "Redis does not answer" in worker.waiting() and worker.waiting())
        gate.open()

        eventually(lambda: worker.waiting() == [])

    assert away == ["Redis does not answer"]


def test_a_worker_is_stopped_while_redis_is_away(cluster, redis_url):
    ended = []
    with Gate(redis_url) as gate:
        worker = ViewsWorker(cluster, gate.url)
        thread = threading.Thread(target=lambda: ended.append(worker.run()))
        thread.start()
        eventually(lambda: worker.waiting() == [])
        gate.shut()
        eventually(lambda: worker.waiting() == ["Redis does not answer"])

        worker.stop()
        thread.join(PATIENCE_S)
        gate.open()

    assert ended == [None]


def test_a_restart_goes_on_where_it_was(cluster, redis_url, send, view, prefix):
    send("fleet.devices", device("press-7"))
    with running(ViewsWorker(cluster, redis_url)):
        eventually(lambda: view("device:press-7"))
    # What has been read is not read again: a view that is taken away in between stays away.
    client = redis.Redis.from_url(redis_url)
    client.unlink(f"{prefix}driftline:device:press-7")

    with running(ViewsWorker(cluster, redis_url)):
        send("fleet.devices", device("press-8"))
        eventually(lambda: view("device:press-8"))

    assert view("device:press-7") == {}


def test_alerts_are_counted_once_by_how_grave_they_are_and_how_they_stand(send, view, worker):
    pending = made.alert("press-7", state=AlertState.PENDING)
    firing = replace(pending, state=AlertState.FIRING)
    other = made.alert("press-8", severity=Severity.LOW)
    for alert in (pending, firing, firing, other):
        send("drift.alerts", alert)
    expected = {"severity:high": "1", "severity:low": "1", "state:firing": "2"}
    eventually(lambda: view("tally:alerts") == expected)

    send("drift.alerts", replace(firing, state=AlertState.RESOLVED))
    # A replay tells of the end again.
    send("drift.alerts", replace(firing, state=AlertState.RESOLVED))
    send("drift.alerts", replace(other, state=AlertState.ACKNOWLEDGED))

    eventually(lambda: view("tally:alerts") == {"severity:low": "1", "state:acknowledged": "1"})


def test_views_that_an_older_version_made_are_made_anew(cluster, redis_url, send, view, prefix):
    client = redis.Redis.from_url(redis_url)
    client.set(f"{prefix}driftline:built", "long ago")
    client.hset(f"{prefix}driftline:positions:1", "fleet.devices", "{}")
    client.hset(f"{prefix}driftline:fleet", "press-of-old", "{}")

    send("fleet.devices", device("press-7"))
    with running(ViewsWorker(cluster, redis_url)):
        eventually(lambda: "press-7" in view("fleet"))

    assert "press-of-old" not in view("fleet")


def device(device_id: str) -> Device:
    return Device(
        device_id=device_id,
        state=DeviceState.ONLINE,
        labels={"region": "north"},
        model_id="m/1",
        revision=1,
        registered_ms=1_000,
        last_seen_ms=2_000,
    )


def window(*, seq: int, end_ms: int, mean: list[float], device_id: str = "press-7") -> FeatureStats:
    samples = 5
    known = np.isfinite(mean)
    values = np.array(mean, "<f4").tobytes()
    return FeatureStats(
        device_id=device_id,
        model_id="m/1",
        pipeline=GRID.pipeline,
        grid_id=GRID.grid_id,
        boot_id="7b7a2c4e-5d0f-4b52-9d1c-0c8a7a9d1e11",
        seq=seq,
        window_start_ms=end_ms - 60_000,
        window_end_ms=end_ms,
        samples=samples,
        counts=np.outer(known, [2, samples - 2]).astype("<u4").tobytes(),
        missing=np.where(known, 0, samples).astype("<u4").tobytes(),
        out_of_range=np.zeros(2, "<u4").tobytes(),
        mean=values,
        m2=np.zeros(2, "<f4").tobytes(),
        min=values,
        max=values,
    )
