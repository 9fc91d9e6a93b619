"""`driftline drift summary`: one device's story, from the topics of a real stack."""

import asyncio
import time
from html.parser import HTMLParser

import pytest
from click.testing import CliRunner
from drift_fleet import MINUTE_MS, Fleet
from patience import eventually

from driftline.command import main
from driftline.sending import send
from schemas import feeds
from schemas.fleet import Device, DeviceState
from schemas.model_health import ModelHealth
from streams.drift.service import make_drift_app


@pytest.fixture
def run(cluster):
    where = ("--bootstrap", cluster.bootstrap, "--registry", cluster.registry_url, "--prefix", cluster.prefix)

    async def run(*args, code=0):
        result = await asyncio.to_thread(CliRunner().invoke, main, ["drift", "summary", *map(str, args), *where])
        assert result.exit_code == code, result.output
        return result.output

    return run


async def test_the_story_of_a_device_is_told_in_text_and_as_a_page(cluster, run, tmp_path):
    fleet, now_ms = Fleet(), int(time.time() * 1000)
    start_ms = now_ms - now_ms % MINUTE_MS - 12 * MINUTE_MS
    windows = [
        fleet.window("<b>d-1", minute, values=fleet.readings(shift=float(minute > 5), feature=1), start_ms=start_ms)
        for minute in range(12)
    ]
    records = [("models.grids", fleet.grid), ("models.baselines", fleet.baseline), ("fleet.devices", device("<b>d-1"))]
    records += [("telemetry.feature-stats", window) for window in windows]
    records += [("telemetry.model-health", health("<b>d-1", start_ms + n * MINUTE_MS, n)) for n in range(12)]
    send(cluster, records)

    app = make_drift_app(cluster)
    await app.start()
    try:
        await asyncio.to_thread(alerted, cluster)
    finally:
        await app.stop()
    text = await run("<b>d-1")
    await run("<b>d-1", "--days", 1, "-o", tmp_path / "story.html")
    unknown = await run("d-2", code=1)

    assert "runs pump/1, online" in text
    assert "f1       drift" in text
    assert "<b>d-1/f1/mean_shift" in text
    assert "nothing is known of device 'd-2' in 7 days" in unknown
    page = Page()
    page.feed((tmp_path / "story.html").read_text())
    assert page.plots == {"f0", "f1", "f2", "", "share of anomalies", "mean confidence", "latency p99, ms"}
    assert "<b>d-1" in page.texts
    assert page.fetched == []


class Page(HTMLParser):
    """What stands on a page, and whether anything is fetched from elsewhere."""

    def __init__(self):
        super().__init__()
        self.plots, self.texts, self.fetched = set(), [], []

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        if tag == "svg":
            self.plots.add(told["aria-label"])
        self.fetched += [told[name] for name in ("src", "href") if name in told]

    def handle_data(self, data):
        self.texts.append(data)


def alerted(cluster):
    eventually(lambda: feeds.snapshot(cluster, "drift.alerts"))


def device(name):
    return Device(
        device_id=name, state=DeviceState.ONLINE, labels={"region": "eu"}, model_id="pump/1", revision=0,
        registered_ms=0, last_seen_ms=0,
    )  # fmt: skip


def health(name, end_ms, seq):
    return ModelHealth(
        device_id=name, model_id="pump/1", boot_id="7b7a2c4e-5d0f-4b52-9d1c-0c8a7a9d1e11", seq=seq,
        window_start_ms=end_ms - MINUTE_MS, window_end_ms=end_ms, inferences=600, anomalies=seq, errors=0,
        score_mean=0.1, score_m2=0.0, confidence_mean=0.9, latency_p50_ms=0.5, latency_p99_ms=1.0, cpu_share=0.1,
        memory_bytes=10**8,
    )  # fmt: skip
