"""The quick way into columns: it says of every record what the careful way says, strangers' bytes included."""

import io
import struct
import uuid
from dataclasses import fields, replace

import fastavro
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from record_strategies import records

from schemas.cluster import Cluster
from schemas.codec import MAX_BODY_BYTES, codec_of
from schemas.columns import GridShape
from schemas.feature_stats import FeatureStats
from schemas.schema_cache import SchemaCache
from schemas.stats_run import sort_run
from schemas.wire import HEADER_BYTES, Contract, body_header
from streams.drift import quick
from streams.drift.kernels.reading import FIELDS
from streams.drift.quick import sort_quickly

TOPIC = "telemetry.feature-stats"
SHAPE = GridShape(features=4, bins=8)
# Nobody listens there: what is not in the cache cannot be looked up.
NOWHERE = Cluster(registry_url="http://127.0.0.1:9/")
KNOWN_ID, OLDER_ID = 7, 8
TODAY = codec_of(FeatureStats).schema
# As it was before roll-ups had an arrival hour.
OLDER = {**TODAY, "fields": [field for field in TODAY["fields"] if field["name"] != "arrival_hour_ms"]}


@pytest.fixture(scope="module")
def contract(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    cache = SchemaCache.load(NOWHERE.registry_url, folder)
    cache.keep(KNOWN_ID, TODAY, subject=f"{TOPIC}-value")
    cache.keep(OLDER_ID, OLDER)
    return Contract.connect(NOWHERE, cache_dir=folder)


def window(number: int, *, grid_id: str = "g", shape: GridShape = SHAPE, model_id: str = "m/1") -> FeatureStats:
    rng = np.random.default_rng(number)
    counts = rng.integers(0, 50, shape, np.uint32)
    low, mean, high = np.sort(rng.normal(size=(3, shape.features)), axis=0)
    return FeatureStats(
        device_id=f"press-{number}", model_id=model_id, pipeline="p/1", grid_id=grid_id,
        boot_id=str(uuid.UUID(int=number)), seq=number, window_start_ms=60_000 * number,
        window_end_ms=60_000 * (number + 1), samples=int(counts.sum(axis=1).max()), counts=counts.tobytes(),
        missing=bytes(4 * shape.features), out_of_range=bytes(4 * shape.features),
        mean=mean.astype("<f4").tobytes(), m2=rng.random(shape.features, np.float32).tobytes(),
        min=low.astype("<f4").tobytes(), max=high.astype("<f4").tobytes(),
    )  # fmt: skip


def framed(contract, windows):
    return [list(part) for part in zip(*(contract.encode(TOPIC, each) for each in windows), strict=True)]


def shape_of(grid_id: str) -> GridShape | None:
    return {"g": SHAPE, "h": GridShape(2, 3)}.get(grid_id)


def told(found):
    """What became of a run's records, such that it can be compared."""
    runs = []
    for run in found.runs:
        plain = {each.name: getattr(run, each.name) for each in fields(run) if each.name != "columns"}
        plain |= {each.name: getattr(run.columns, each.name) for each in fields(run.columns)}
        listed = {
            name: (str(one.dtype), one.shape, one.tobytes()) if isinstance(one, np.ndarray) else one
            for name, one in plain.items()
        }
        runs.append(listed)
    asides = [sorted((one.position, str(one.why)) for one in some) for some in (found.bad, found.unread)]
    return sorted(runs, key=lambda run: run["grid_id"]), *asides, found.unknown_grids


def assert_the_same(contract, keys, values, shapes=shape_of):
    found = sort_quickly(contract, TOPIC, keys, values, shapes)

    assert told(found) == told(sort_run(contract, TOPIC, keys, values, shapes))
    return found


def test_the_loop_knows_the_fields_in_the_order_in_which_they_are_written():
    kinds = {field["name"]: field["type"] for field in TODAY["fields"]}
    bare = {name: kind["type"] if isinstance(kind, dict) else kind for name, kind in kinds.items()}

    assert list(FIELDS) == list(bare)
    assert {name: kind in ("string", "bytes") for name, kind in bare.items()} == {
        name: bool(kind) for name, kind in FIELDS.items()
    }


def test_sound_records_never_go_the_careful_way(contract, monkeypatch):
    keys, values = framed(contract, [window(number, model_id=f"m/{number % 3}") for number in range(20)])
    careful = sort_run(contract, TOPIC, keys, values, shape_of)
    monkeypatch.setattr(quick, "sort_run", None)

    assert told(sort_quickly(contract, TOPIC, keys, values, shape_of)) == told(careful)


def test_models_grids_and_unknown_grids_are_kept_apart(contract):
    small = GridShape(2, 3)
    windows = [window(0), window(1, grid_id="h", shape=small), window(2, grid_id="new"), window(3, model_id="n/2")]
    keys, values = framed(contract, [*windows, window(4, grid_id="h", shape=small, model_id="n/2"), window(5)])

    found = assert_the_same(contract, keys, values)

    assert {run.grid_id: run.model_id for run in found.runs} == {"g": ["m/1", "n/2", "m/1"], "h": ["m/1", "n/2"]}
    assert found.unknown_grids == {"new": [2]}


def test_records_of_an_older_schema_are_taken_in_the_order_of_their_offsets(contract):
    keys, values = framed(contract, [window(number) for number in range(5)])
    plain = {each.name: getattr(window(2), each.name) for each in fields(FeatureStats)}
    values[2] = body_header(OLDER_ID) + unchecked(plain, OLDER)

    found = assert_the_same(contract, keys, values)

    assert [run.positions.tolist() for run in found.runs] == [[0, 1, 2, 3, 4]]


def unchecked(plain, schema=TODAY):
    """Write a body as a gateway would that checks nothing."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, {**schema, "doc": ""}, plain)
    return out.getvalue()


def long(value):
    left, out = (value << 1) ^ (value >> 63), bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*out, left])


NAN, INFINITE = struct.pack("<f", float("nan")), struct.pack("<f", float("inf"))


@pytest.mark.parametrize(
    "change",
    [
        {"samples": 3}, {"samples": -1}, {"samples": 2**63 - 1}, {"samples": -(2**63)}, {"samples": 0},
        {"seq": -4}, {"seq": 2**63 - 1}, {"windows": -1}, {"windows": 2**31 - 1}, {"windows": 0},
        {"window_start_ms": -1}, {"window_start_ms": 2**63 - 1}, {"window_end_ms": 0}, {"window_end_ms": 2**63 - 1},
        {"arrival_hour_ms": -5}, {"boot_id": "boot"}, {"boot_id": "z" * 36}, {"boot_id": "0" * 36}, {"boot_id": ""},
        {"boot_id": str(uuid.UUID(int=2**127)).upper()}, {"device_id": "press-99"}, {"device_id": ""},
        {"model_id": ""}, {"model_id": "m\u00e4\u00df/1"}, {"grid_id": ""}, {"grid_id": "nobody's"},
        {"counts": b""}, {"counts": bytes(4 * 4 * 7)}, {"counts": b"\xff" * 128}, {"counts": bytes(128)},
        {"counts": bytes(4 * 16 * 10_000)}, {"missing": bytes(12)}, {"missing": b"\xff" * 16},
        {"out_of_range": b"\xff" * 16}, {"out_of_range": b""}, {"mean": bytes(15)}, {"mean": NAN * 4},
        {"mean": INFINITE * 4}, {"m2": NAN * 4}, {"m2": struct.pack("<f", -1) * 4}, {"m2": struct.pack("<f", -0.0) * 4},
        {"min": NAN * 4}, {"max": INFINITE * 4}, {"max": struct.pack("<f", -100) * 4}, {"max": bytes(20)},
        {"counts": bytes(128), "mean": NAN * 4, "m2": NAN * 4, "min": NAN * 4, "max": NAN * 4},
    ],
    ids=lambda change: " ".join(f"{name}={value!r:.20}" for name, value in change.items()),
)  # fmt: skip
def test_strange_values_are_judged_as_the_careful_way_judges_them(contract, change):
    keys, values = framed(contract, [window(number) for number in range(4)])
    plain = {each.name: getattr(window(2), each.name) for each in fields(FeatureStats)} | change
    values[2] = body_header(KNOWN_ID) + unchecked(plain)

    found = assert_the_same(contract, keys, values)

    assert {0, 1, 3} <= {*found.runs[0].positions.tolist()}


BODY = codec_of(FeatureStats).encode(window(2))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(BODY[:-1], id="cut off in the last number"),
        pytest.param(BODY[:40], id="cut off early"),
        pytest.param(BODY + b"\0", id="a byte too many"),
        pytest.param(BODY + BODY, id="twice"),
        pytest.param(b"\x81\0" + BODY[1:], id="an overlong length"),
        pytest.param(long(-7) + BODY[1:], id="a negative length"),
        pytest.param(long(-(2**63)) + BODY[1:], id="the most negative length"),
        pytest.param(long(2**62) + BODY[1:], id="a length beyond everything"),
        pytest.param(b"\xff" * 9 + b"\x01" + BODY[1:], id="a length of 64 bits"),
        pytest.param(b"\xff" * 9 + b"\x02" + BODY[1:], id="a length of 65 bits"),
        pytest.param(b"\xff" * 30, id="a number without an end"),
        pytest.param(BODY[:1] + b"\xff" + BODY[2:], id="no UTF-8"),
        pytest.param(b"\0" * (MAX_BODY_BYTES + 1), id="too long"),
    ],
)
def test_bytes_of_strangers_are_judged_as_the_careful_way_judges_them(contract, body):
    keys, values = framed(contract, [window(number) for number in range(4)])
    values[2] = body_header(KNOWN_ID) + body

    found = assert_the_same(contract, keys, values)

    assert {0, 1, 3} <= {*found.runs[0].positions.tolist()}


def test_a_model_that_is_no_text_is_bad_and_takes_no_neighbour_along(contract):
    keys, values = framed(contract, [window(number) for number in range(3)])
    values[1] = values[1].replace(b"m/1", b"\xff\xfe1")

    found = assert_the_same(contract, keys, values)

    assert [one.position for one in found.bad] == [1]


@pytest.mark.parametrize("text", [b"m/1", b"p/1"])
def test_what_is_no_text_is_bad_though_its_grid_is_unknown_as_well(contract, text):
    keys, values = framed(contract, [window(number) for number in range(3)])
    assert values[1].count(text) == 1
    values[1] = values[1].replace(text, b"\xff\xfe1")

    found = assert_the_same(contract, keys, values, lambda _grid: None)

    assert [one.position for one in found.bad] == [1]
    assert list(found.unknown_grids.values()) == [[0, 2]]


@pytest.mark.parametrize("key", [None, b"", b"press-11", b"\xff"])
def test_keys_are_compared(contract, key):
    keys, values = framed(contract, [window(number) for number in range(3)])

    found = assert_the_same(contract, [keys[0], key, keys[2]], values)

    assert [one.position for one in found.bad] == [1]


@pytest.mark.parametrize("value", [b"", b"\0\0\0", b"\1\0\0\0\7abc", b"\0\0\0\0\7", b"\0\0\x0f\xa0\7abc"])
def test_what_is_no_record_is_told_apart_from_what_cannot_be_read_now(contract, value):
    keys, values = framed(contract, [window(number) for number in range(2)])

    assert_the_same(contract, [*keys, b"k"], [*values, value])


def test_a_run_without_records_is_no_trouble(contract):
    assert_the_same(contract, [], [])
    assert_the_same(contract, [None], [b""])


@given(data=st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_to_records_both_ways_agree(contract, data):
    windows = data.draw(st.lists(records(FeatureStats), min_size=1, max_size=4))
    shapes = {
        each.grid_id: GridShape(len(each.missing) // 4, len(each.counts) // max(len(each.missing), 1))
        for each in windows
        if data.draw(st.booleans())
    }
    keys, values = framed(contract, windows)
    for at, value in enumerate(values):
        values[at] = data.draw(st.one_of(st.just(value), spoiled(value)))

    assert_the_same(contract, keys, values, shapes.get)


@st.composite
def spoiled(draw, value):
    """Change, leave out or put in some bytes of a record."""
    first = draw(st.integers(0, len(value)))
    end = draw(st.integers(first, min(first + 12, len(value))))
    return value[:first] + draw(st.binary(max_size=12)) + value[end:]


@given(numbers=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=4, max_size=4), at=st.integers(0, 10))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_numbers_of_all_sizes_are_read_alike(contract, numbers, at):
    names = ("seq", "window_start_ms", "window_end_ms", "samples")
    plain = {each.name: getattr(window(at), each.name) for each in fields(FeatureStats)}
    plain |= dict(zip(names, numbers, strict=True))

    assert_the_same(contract, [b"press-%d" % at], [body_header(KNOWN_ID) + unchecked(plain)])


def test_a_window_that_was_changed_keeps_its_neighbours_columns(contract):
    windows = [window(0), replace(window(1), samples=3), window(2)]
    plains = [{each.name: getattr(one, each.name) for each in fields(FeatureStats)} for one in windows]
    keys = [one.device_id.encode() for one in windows]

    found = assert_the_same(contract, keys, [body_header(KNOWN_ID) + unchecked(plain) for plain in plains])

    assert found.runs[0].positions.tolist() == [0, 2]
    assert len(body_header(KNOWN_ID)) == HEADER_BYTES
