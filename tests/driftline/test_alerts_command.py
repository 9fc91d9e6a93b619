"""`driftline alerts` against a running drift worker on real Kafka."""

import asyncio
import json
import time

import pytest
from click.testing import CliRunner
from drift_fleet import MINUTE_MS, Fleet

from driftline.command import main
from driftline.sending import send
from schemas import feeds
from streams.drift.service import make_drift_app


@pytest.fixture
def run(cluster):
    where = ("--bootstrap", cluster.bootstrap, "--registry", cluster.registry_url, "--prefix", cluster.prefix)

    async def run(*args, code=0):
        result = await asyncio.to_thread(CliRunner().invoke, main, ["alerts", *args, *where])
        assert result.exit_code == code, result.output
        return result.output

    return run


async def test_alerts_are_listed_shown_acknowledged_and_silenced(cluster, run):
    fleet, now_ms = Fleet(), int(time.time() * 1000)
    start_ms = now_ms - now_ms % MINUTE_MS - 10 * MINUTE_MS
    windows = [
        fleet.window(name, minute, values=fleet.readings(shift=1.0, feature=1), start_ms=start_ms)
        for minute in range(6)
        for name in ("d-1", "d-2")
    ]
    records = [("models.grids", fleet.grid), ("models.baselines", fleet.baseline)]
    send(cluster, [*records, *(("telemetry.feature-stats", window) for window in windows)])

    app = make_drift_app(cluster)
    await app.start()
    try:
        await asyncio.to_thread(two_alerts, cluster)
        listed = json.loads(await run("list", "--json", "--match", "subject=d-1"))
        acknowledged = await run("ack", "d-1/f1", "--why", "looking at it")
        shown = await run("show", "d-1/f1")
        again = await run("ack", "d-1/f1", code=1)
        silenced = await run("silence", "--match", "subject=d-2", "--for", "4h", "--name", "works", "--why", "stop")
        silences = json.loads(await run("silences", "--json"))
        table = await run("list")
        ended = await run("unsilence", "works")
        unknown = await run("unsilence", "works", code=1)
    finally:
        await app.stop()

    assert [(one["subject"], one["feature"], one["state"]) for one in listed] == [("d-1", "f1", "firing")]
    assert "acknowledged by" in acknowledged
    assert "looking at it" not in again
    assert "is acknowledged; only one that fires is acknowledged" in again
    assert "acknowledged, by" in shown
    assert "mean shift in f1 of d-1" in shown
    assert "silent until" in silenced
    assert [(one["name"], one["matchers"]) for one in silences] == [("works", {"subject": "d-2"})]
    assert "firing, silenced" in table
    assert "works: ended" in ended
    assert "no silence 'works' holds" in unknown


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("silence", "--for", "4h"), "--match: found none, wanted one at least"),
        (("silence", "--match", "region", "--for", "4h"), "--match: found 'region', wanted NAME=PATTERN"),
        (("silence", "--match", "region=eu", "--for", "soon"), "found 'soon', wanted a span such as 90s"),
    ],
)
async def test_a_silence_that_makes_no_sense_is_refused(run, args, complaint):
    assert complaint in await run(*args, code=2)


async def test_an_alert_that_is_not_there_is_said_to_be_none(run):
    assert "no alert 'd-9'" in await run("show", "d-9", code=1)


def two_alerts(cluster):
    deadline = time.monotonic() + 60
    while len(feeds.snapshot(cluster, "drift.alerts")) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.3)
