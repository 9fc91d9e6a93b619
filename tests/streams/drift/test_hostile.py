"""Windows as no healthy gateway sends them: each is a dead letter, judged or counted, and none stops the worker."""

import asyncio
import io
import struct
import time
from collections import Counter
from dataclasses import fields, replace

import fastavro
import numpy as np
from confluent_kafka import Producer
from drift_fleet import MINUTE_MS, START_MS, Fleet, columns_of
from patience import PATIENCE_S
from prometheus_client import generate_latest

from schemas.canonical import with_content_id
from schemas.codec import codec_of
from schemas.columns import GridShape
from schemas.feature_stats import FeatureStats
from schemas.grid import Baseline, FeatureBaseline, FeatureGrid, FeatureKind, Grid
from schemas.wire import Contract
from streams.drift.desk import SOURCE
from streams.drift.engine import Engine
from streams.drift.measured import Group
from streams.drift.policy import own_policy
from streams.drift.references import lay_out
from streams.drift.service import DriftSettings, make_drift_app
from streams.kafka import figures

NAN, HUGE = struct.pack("<f", float("nan")), struct.pack("<f", 3e38)
FEATURES, BINS = 3, 8
NOTHING = {
    "samples": 0, "counts": bytes(4 * FEATURES * BINS), "mean": NAN * FEATURES, "m2": NAN * FEATURES,
    "min": NAN * FEATURES, "max": NAN * FEATURES,
}  # fmt: skip
REFUSED = {
    "more samples than 32 bits": {"samples": 2**63 - 1},
    "negative samples": {"samples": -1},
    "negative seq": {"seq": -1},
    "no features": dict.fromkeys(("counts", "missing", "out_of_range", "mean", "m2", "min", "max"), b""),
    "ten thousand features": {"counts": bytes(4 * 10_000 * 8), "mean": bytes(40_000)},
    "counts beyond samples": {"counts": b"\xff" * (4 * FEATURES * BINS)},
    "unknown moments": {"mean": NAN * FEATURES},
    "the year 2100": {"window_start_ms": 4_102_444_800_000, "window_end_ms": 4_102_444_860_000},
    "the end of time": {"window_end_ms": 2**63 - 1},
    "ends before it begins": {"window_end_ms": 1},
}
TAKEN = {
    "the year 1970": {"window_start_ms": 0, "window_end_ms": MINUTE_MS},
    "a window of fifty years": {"window_start_ms": 0},
    "nothing at all": NOTHING,
    "huge moments": {"mean": HUGE * FEATURES, "m2": HUGE * FEATURES, "min": HUGE * FEATURES, "max": HUGE * FEATURES},
    "the last seq there is": {"seq": 2**63 - 1},
    "all that 32 bits hold": {"samples": 2**32 - 1},
    "merged from many": {"windows": 2**31 - 1},
}


def changed(stats, change):
    """Write a window as a gateway would that checks nothing."""
    plain = {each.name: getattr(stats, each.name) for each in fields(FeatureStats)} | change
    out = io.BytesIO()
    fastavro.schemaless_writer(out, {**codec_of(FeatureStats).schema, "doc": ""}, plain)
    return out.getvalue()


def told(app):
    lines = [line for line in generate_latest(figures(app).registry).decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


async def test_each_is_judged_or_counted_or_a_dead_letter_and_the_worker_goes_on(
    cluster, publish, running, found_on
):  # fmt: skip
    fleet, now_ms = Fleet(features=FEATURES, bins=BINS), int(time.time() * 1000)
    start_ms = now_ms - now_ms % MINUTE_MS - 5 * MINUTE_MS
    publish("models.grids", [fleet.grid])
    publish("models.baselines", [fleet.baseline])
    header, producer = Contract.connect(cluster).header_of(SOURCE), Producer(cluster.producer_settings())

    def send(device, stats, change):
        producer.produce(cluster.named(SOURCE), key=device.encode(), value=header + changed(stats, change))

    for name, change in {**REFUSED, **TAKEN}.items():
        for minute in (0, 1):
            send(name, fleet.window(name, minute, start_ms=start_ms), {})
        send(name, fleet.window(name, 2, start_ms=start_ms), change)
        send(name, fleet.window(name, 3, start_ms=start_ms), {})
    again = fleet.window("again", 0, start_ms=start_ms)
    other = replace(fleet.window("again", 0, start_ms=start_ms, values=fleet.readings(shift=9.0)))
    for stats in (again, other, again, fleet.window("again", 1, start_ms=start_ms)):
        send("again", stats, {})
    assert producer.flush(PATIENCE_S) == 0
    sent = 4 * len({**REFUSED, **TAKEN}) + 4

    # Of each the last window that was sent.
    last = {**dict.fromkeys((*REFUSED, *TAKEN), start_ms + 4 * MINUTE_MS), "again": start_ms + 2 * MINUTE_MS}

    def missing(found):
        return set(last.items()) - {(one.device_id, one.window_end_ms) for one in found}

    policy = own_policy("[reporting]\ncomplete_every = 1")
    app = make_drift_app(cluster, DriftSettings(checkpoint_every_s=0, policy=policy))
    async with running(app):
        scores = await asyncio.to_thread(found_on, "drift.scores", lambda found: not missing(found))
        dead = await asyncio.to_thread(found_on, "dead-letters", lambda found: len(found) >= len(REFUSED))
        windows = Counter()
        for name, count in told(app).items():
            if name.startswith("driftline_drift_windows_total"):
                windows[name.partition('"')[2].partition('"')[0]] = int(count)

    assert {letter.record_key for letter in dead} == {name.encode() for name in REFUSED}
    # A late one is not scored, nor is a repeat; what has no room left is scored and not added.
    assert windows["judged"] + windows["late"] + windows["repeated"] + windows["bad"] == sent
    assert (windows["bad"], windows["repeated"], windows["late"]) == (len(REFUSED), 2, 1)
    assert windows["overflowed"] >= 1
    assert all(one.samples >= 0 for one in scores)
    assert {one.samples for one in scores if one.device_id == "again"} == {600, 1200}


def test_a_grid_of_ten_thousand_features_is_judged():
    """Of two bins each, and some of its edges do not even ascend."""
    features = 10_000
    grid = with_content_id(
        Grid(
            grid_id="", pipeline="wide/1", bins=3,
            features=tuple(
                FeatureGrid(name=f"f{i}", kind=FeatureKind.NUMERIC, edges=(0.5, -0.5) if i % 2 else (-0.5, 0.5))
                for i in range(features)
            ),
        )
    )  # fmt: skip
    baseline = with_content_id(
        Baseline(
            baseline_id="", model_id="wide/1", grid_id=grid.grid_id, pipeline="wide/1", samples=3000,
            features=tuple(
                FeatureBaseline(
                    name=one.name, counts=(1000, 1000, 1000), missing=0, out_of_range=0, mean=0.0, variance=1.0,
                    min=-3.0, max=3.0,
                )
                for one in grid.features
            ),
        )
    )  # fmt: skip
    one = np.ones(features, "<f4")
    stats = FeatureStats(
        device_id="d", model_id="wide/1", pipeline="wide/1", grid_id=grid.grid_id,
        boot_id="00000000-0000-4000-8000-000000000000", seq=0, window_start_ms=START_MS,
        window_end_ms=START_MS + MINUTE_MS, samples=600, counts=np.full((features, 3), 200, "<u4").tobytes(),
        missing=bytes(4 * features), out_of_range=bytes(4 * features), mean=bytes(4 * features),
        m2=(one * 600).tobytes(), min=(one * -3).tobytes(), max=(one * 3).tobytes(),
    )  # fmt: skip
    shape = GridShape(features, 3)
    engine = Engine(grid_id=grid.grid_id, shape=shape, horizons_ms=(900_000, 3_600_000), needs=(100,))

    admitted = engine.admit(
        columns_of([stats], shape), [Group(lay_out(grid, baseline))], np.zeros(1, np.int64)
    )  # fmt: skip

    assert admitted.tally.judged == 1
    assert float(np.nanmax(admitted.measured[0].score("psi"))) < 0.01
