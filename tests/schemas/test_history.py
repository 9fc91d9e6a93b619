"""Schemas on disk: current, and readable for ever."""

import io
import json
import shutil

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from record_strategies import records

from schemas import history
from schemas.codec import BodyReader, codec_of
from schemas.errors import IncompatibleSchemaError, SchemaError

RELEASED = [pytest.param(version, name, schema, id=f"{version}-{name}") for version, name, schema in history.released()]


def test_the_rendered_schemas_are_current():
    assert history.stale() == [], "run `driftline schemas render`"


def test_rendered_schemas_name_what_times_and_ids_are(tmp_path):
    history.render(tmp_path)

    stats = json.loads((tmp_path / "FeatureStats.avsc").read_text())
    types = {field["name"]: field["type"] for field in stats["fields"]}
    assert types["window_start_ms"] == {"type": "long", "logicalType": "timestamp-millis"}
    assert types["boot_id"] == {"type": "string", "logicalType": "uuid"}
    assert all(field["doc"] for field in stats["fields"])


def test_rendering_writes_only_what_changed(tmp_path):
    first = history.render(tmp_path)
    (tmp_path / "Gone.avsc").write_text("{}")
    (tmp_path / "Label.avsc").write_text("{}")
    assert history.stale(tmp_path) == ["Gone.avsc", "Label.avsc"]

    second = history.render(tmp_path)

    assert len(first) == len(history.records())
    assert sorted(path.name for path in second) == ["Gone.avsc", "Label.avsc"]
    assert history.render(tmp_path) == []
    assert history.stale(tmp_path) == []


def test_something_was_released():
    assert {version for version, _, _ in history.released()} >= {"0.1.0"}
    assert {name for version, name, _ in history.released() if version == "0.1.0"} <= history.records().keys()


@pytest.mark.parametrize(("version", "name", "schema"), RELEASED)
@given(data=st.data())
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
def test_every_record_of_every_released_version_is_still_read(version, name, schema, data):
    record = history.records()[name]
    codec = codec_of(record)
    value = data.draw(records(record))
    # What the released program would have written of today's record, were it to write one: its own fields.
    old_body = _written_by(schema, codec.encode(value), codec.schema)

    back = codec.made(codec.written_with(schema).read(old_body))

    assert _written_by(schema, codec.encode(back), codec.schema) == old_body


def _written_by(schema, body, present):
    plain = BodyReader(present, into=schema).read(body)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, _without_logical_types(schema), plain)
    return out.getvalue()


def _without_logical_types(schema):
    return json.loads(
        json.dumps(schema), object_hook=lambda part: {key: part[key] for key in part if key != "logicalType"}
    )


def test_an_incompatible_change_is_refused_and_names_the_field(tmp_path):
    history.release("0.0.9", tmp_path)
    path = tmp_path / "0.0.9" / "Device.avsc"
    device = json.loads(path.read_text())
    slots = next(field for field in device["fields"] if field["name"] == "slots")
    slots["type"]["items"]["fields"].append({"name": "size", "type": "long"})
    path.write_text(json.dumps(device))

    with pytest.raises(IncompatibleSchemaError) as caught:
        history.check(tmp_path)

    assert str(caught.value) == (
        "driftline.fleet.Device.slots[].size: is missing in what was written, and has no default"
        " (against version 0.0.9)"
    )
    assert "a new field" in caught.value.hint


def test_a_record_that_is_no_longer_declared_is_told(tmp_path):
    history.release("0.0.9", tmp_path)
    shutil.copy(tmp_path / "0.0.9" / "Device.avsc", tmp_path / "0.0.9" / "Gadget.avsc")

    with pytest.raises(IncompatibleSchemaError, match="is no longer declared"):
        history.check(tmp_path)


def test_a_released_version_is_never_written_again(tmp_path):
    history.release("0.0.9", tmp_path)

    with pytest.raises(SchemaError, match=r"version 0\.0\.9 is released"):
        history.release("0.0.9", tmp_path)


def test_what_is_released_can_be_read_with_what_is_here():
    history.check()
