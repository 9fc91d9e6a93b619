"""Runs of feature statistics: what the quick way takes, what it sets aside, and why."""

import io
import uuid
from dataclasses import fields, replace

import fastavro
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from record_strategies import records

from schemas.catalogue import topic_named
from schemas.cluster import Cluster
from schemas.codec import codec_of
from schemas.columns import GridShape, columns
from schemas.errors import BadRecordError, DriftlineError
from schemas.feature_stats import FeatureStats
from schemas.schema_cache import SchemaCache
from schemas.stats_run import sort_run
from schemas.wire import Contract, body_header

TOPIC = "telemetry.feature-stats"
SHAPE = GridShape(features=4, bins=8)
# Nobody listens there: what is not in the cache cannot be looked up.
NOWHERE = Cluster(registry_url="http://127.0.0.1:9/")
KNOWN_ID = 7


@pytest.fixture(scope="module")
def contract(tmp_path_factory):
    """The contract of a gateway that restarted while its registry is away."""
    folder = tmp_path_factory.mktemp("cache")
    subject = f"{TOPIC}-value"
    SchemaCache.load(NOWHERE.registry_url, folder).keep(KNOWN_ID, codec_of(FeatureStats).schema, subject=subject)
    return Contract.connect(NOWHERE, cache_dir=folder)


def window(number: int, *, grid_id: str = "g", shape: GridShape = SHAPE) -> FeatureStats:
    rng = np.random.default_rng(number)
    counts = rng.integers(0, 50, shape, np.uint32)
    low, mean, high = np.sort(rng.normal(size=(3, shape.features)), axis=0)
    return FeatureStats(
        device_id=f"press-{number}",
        model_id="m/1",
        pipeline="p/1",
        grid_id=grid_id,
        boot_id=str(uuid.UUID(int=number)),
        seq=number,
        window_start_ms=60_000 * number,
        window_end_ms=60_000 * (number + 1),
        samples=int(counts.sum(axis=1).max()),
        counts=counts.tobytes(),
        missing=bytes(4 * shape.features),
        out_of_range=bytes(4 * shape.features),
        mean=mean.astype("<f4").tobytes(),
        m2=rng.random(shape.features, np.float32).tobytes(),
        min=low.astype("<f4").tobytes(),
        max=high.astype("<f4").tobytes(),
    )


def framed(contract, windows):
    return [list(part) for part in zip(*(contract.encode(TOPIC, each) for each in windows), strict=True)]


def shape_of(grid_id: str) -> GridShape | None:
    return {"g": SHAPE, "h": GridShape(2, 3)}.get(grid_id)


def test_a_run_becomes_columns(contract):
    windows = [window(number) for number in range(5)]
    keys, values = framed(contract, windows)

    result = sort_run(contract, TOPIC, keys, values, shape_of)

    (run,) = result.runs
    assert (result.bad, result.unread, result.unknown_grids) == ([], [], {})
    assert run.positions.tolist() == [0, 1, 2, 3, 4]
    for row, stats in enumerate(windows):
        for name in ("device_id", "model_id", "pipeline", "boot_id"):
            assert getattr(run, name)[row] == getattr(stats, name)
        for name in ("seq", "window_start_ms", "window_end_ms", "samples", "windows", "arrival_hour_ms"):
            assert getattr(run, name)[row] == getattr(stats, name)
        one = columns(stats, SHAPE)
        for each in fields(one):
            np.testing.assert_array_equal(getattr(run.columns, each.name)[row], getattr(one, each.name))


def test_grids_are_kept_apart_and_unknown_ones_are_told(contract):
    windows = [window(0), window(1, grid_id="h", shape=GridShape(2, 3)), window(2, grid_id="new"), window(3)]
    keys, values = framed(contract, windows)

    result = sort_run(contract, TOPIC, keys, values, shape_of)

    assert {run.grid_id: run.positions.tolist() for run in result.runs} == {"g": [0, 3], "h": [1]}
    assert result.runs[1].columns.counts.shape == (1, 2, 3)
    assert result.unknown_grids == {"new": [2]}
    assert not result.bad


def _nan_at_2(raw: bytes) -> bytes:
    values = np.frombuffer(raw, "<f4").copy()
    values[2] = np.nan
    return values.tobytes()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"samples": 3}, "counts[0]: found ", id="more counted than sampled"),
        pytest.param({"samples": -1}, "samples: found -1 (int), wanted a whole number, 0 to", id="negative"),
        pytest.param({"seq": -4}, "seq: found -4 (int)", id="a negative number"),
        pytest.param({"windows": -1}, "windows: found -1 (int)", id="a negative count"),
        pytest.param(
            {"window_end_ms": 60_000}, "window_end_ms: found 60000, wanted window_start_ms or", id="backwards"
        ),
        pytest.param({"window_end_ms": 2**60}, "window_end_ms: found 1152921504606846976", id="the far future"),
        pytest.param({"boot_id": "boot"}, "boot_id: found 'boot' (str), wanted UUID", id="no UUID"),
        pytest.param({"missing": b"\xff" * 16}, "counts[0]: found ", id="more missing than sampled"),
        pytest.param({"out_of_range": b"\xff" * 16}, "out_of_range[0]: found 4294967295", id="more out than in"),
        pytest.param({"missing": bytes(12)}, "found ", id="a feature too few"),
        pytest.param({"mean": bytes(15)}, "mean: found 15 bytes, wanted a multiple of 4 bytes", id="half a number"),
        pytest.param({"max": bytes(20)}, "max: found 20 bytes, wanted 16 bytes (4 of float32)", id="one too many"),
        pytest.param(
            {"counts": bytes(4 * 4 * 7)}, "counts: found 112 bytes, wanted 128 bytes (4 x 8", id="another grid"
        ),
        pytest.param({"counts": b""}, "counts: found 0 bytes", id="no counts"),
        pytest.param({"mean": _nan_at_2}, "mean[2]: found nan, wanted a finite number", id="no mean"),
        pytest.param({"m2": _nan_at_2}, "m2[2]: found nan, wanted a finite number, 0 or more", id="no m2"),
        pytest.param({"m2": b"\0\0\x80\xbf" * 4}, "m2[0]: found -1.0, wanted a finite number, 0", id="m2 below 0"),
        pytest.param({"min": _nan_at_2}, "min[2]: found nan", id="no min"),
        pytest.param(
            {"max": b"\0\0\xc8\xc2" * 4}, "max[0]: found -100.0, wanted a finite number, `min`", id="max below"
        ),
        pytest.param({"device_id": "press-99"}, "key: found b'press-2', wanted device_id = 'press-99'", id="key"),
    ],
)
def test_a_bad_record_is_set_aside_and_takes_no_neighbour_along(contract, change, reason):
    windows = [window(number) for number in range(5)]
    keys, values = framed(contract, windows)
    plain = {each.name: getattr(windows[2], each.name) for each in fields(FeatureStats)}
    for name, new in change.items():
        plain[name] = new(plain[name]) if callable(new) else new
    values[2] = body_header(KNOWN_ID) + _unchecked(plain)

    result = sort_run(contract, TOPIC, keys, values, shape_of)

    (run,) = result.runs
    (aside,) = result.bad
    assert run.positions.tolist() == [0, 1, 3, 4]
    assert run.device_id == ["press-0", "press-1", "press-3", "press-4"]
    np.testing.assert_array_equal(run.columns.counts[2], columns(windows[3], SHAPE).counts)
    assert aside.position == 2
    assert reason in str(aside.why)


def _unchecked(plain: dict[str, object]) -> bytes:
    """Write a body as a gateway would that checks nothing."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, {**codec_of(FeatureStats).schema, "doc": ""}, plain)
    return out.getvalue()


def test_a_schema_that_cannot_be_looked_up_now_is_not_bad(contract):
    keys, values = framed(contract, [window(0), window(1)])
    values[1] = body_header(4_000) + values[1][5:]

    result = sort_run(contract, TOPIC, keys, values, shape_of)

    assert [aside.position for aside in result.unread] == [1]
    assert result.bad == []
    assert result.runs[0].positions.tolist() == [0]


@pytest.mark.parametrize("value", [b"", b"\0\0\0", b"\1\0\0\0\7abc", b"\0\0\0\0\7", b"\0\0\0\0\7" + b"\xff" * 99])
def test_what_is_no_record_at_all_is_bad(contract, value):
    keys, values = framed(contract, [window(0), window(1)])

    result = sort_run(contract, TOPIC, [*keys, b"k"], [*values, value], shape_of)

    assert [aside.position for aside in result.bad] == [2]
    assert result.runs[0].positions.tolist() == [0, 1]


def test_a_run_without_records_is_no_trouble(contract):
    result = sort_run(contract, TOPIC, [], [], shape_of)

    assert result.runs == []


@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_quick_way_and_the_careful_way_agree(contract, data):
    windows = data.draw(st.lists(records(FeatureStats), min_size=1, max_size=4))
    shapes = {
        each.grid_id: GridShape(len(each.missing) // 4, len(each.counts) // len(each.missing)) for each in windows
    }
    keys, values = framed(contract, windows)
    for at, value in enumerate(values):
        if data.draw(st.booleans()):
            byte = data.draw(st.integers(0, len(value) - 1))
            values[at] = value[:byte] + bytes([data.draw(st.integers(0, 255))]) + value[byte + 1 :]

    result = sort_run(contract, TOPIC, keys, values, shapes.get)

    taken = {int(position): run for run in result.runs for position in run.positions}
    bad = {aside.position: aside.why for aside in result.bad}
    unread = {aside.position for aside in result.unread}
    unknown = {position for positions in result.unknown_grids.values() for position in positions}
    assert sorted([*taken, *bad, *unread, *unknown]) == list(range(len(values))), "each record is somewhere, once"
    for position, (key, value) in enumerate(zip(keys, values, strict=True)):
        careful = _careful(contract, key, value, shapes)
        if position in taken:
            assert isinstance(careful, FeatureStats)
        elif position in bad:
            assert str(bad[position]) == str(careful)


def _careful(contract, key, value, shapes):
    try:
        record = contract.decode(TOPIC, key, value)
        if record.grid_id in shapes:
            columns(record, shapes[record.grid_id])
    except DriftlineError as trouble:
        return trouble
    return record


def test_the_key_of_a_roll_up_is_compared_whole(contract):
    topic = topic_named("telemetry.feature-rollups")
    rollup = replace(window(1), windows=60, arrival_hour_ms=3_600_000)
    value = body_header(KNOWN_ID) + codec_of(FeatureStats).encode(rollup)

    result = sort_run(contract, topic.name, [b"press-1/60000/3600000", b"press-1"], [value, value], shape_of)

    assert result.runs[0].positions.tolist() == [0]
    assert isinstance(result.bad[0].why, BadRecordError)
    assert "device_id/window_start_ms/arrival_hour_ms = 'press-1/60000/3600000'" in str(result.bad[0].why)
