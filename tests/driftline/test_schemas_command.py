"""`driftline schemas`, as it is typed."""

import json

import pytest
from click.testing import CliRunner

from driftline.command import main
from schemas.catalogue import CATALOGUE
from schemas.history import records


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(main, ["schemas", *map(str, arguments)])


def test_render_writes_each_record_once(run, tmp_path):
    first, second = run("render", "--into", tmp_path), run("render", "--into", tmp_path)

    assert first.exit_code == second.exit_code == 0
    assert first.output.count("wrote ") == len(records())
    assert second.output == f"0 changed, {len(records())} records\n"


def test_render_check_tells_what_is_not_current(run, tmp_path):
    run("render", "--into", tmp_path)
    (tmp_path / "Label.avsc").write_text("{}")

    result = run("render", "--check", "--into", tmp_path)

    assert result.exit_code == 1
    assert result.stderr == "not current: Label.avsc\n"
    assert (tmp_path / "Label.avsc").read_text() == "{}"


def test_check_names_the_field_and_needs_no_registry(run, tmp_path):
    assert run("release", "0.0.9", "--into", tmp_path).exit_code == 0
    assert run("check", "--against", tmp_path).exit_code == 0
    path = tmp_path / "0.0.9" / "Label.avsc"
    label = json.loads(path.read_text())
    label["fields"].append({"name": "shade", "type": "string"})
    path.write_text(json.dumps(label))

    result = run("check", "--against", tmp_path)

    assert result.exit_code == 1
    assert "error: driftline.telemetry.Label.shade: is missing" in result.stderr
    assert "hint: give a new field a default" in result.stderr


def test_register_tells_the_id_of_every_subject(run, registry_url, prefix):
    result = run("register", "--registry", registry_url, "--prefix", prefix)

    assert result.exit_code == 0
    subjects = [line.split()[1] for line in result.output.splitlines()]
    assert subjects == [f"{prefix}{name}-value" for name in CATALOGUE]


def test_a_registry_that_is_away_is_told(run):
    result = run("register", "--registry", "http://127.0.0.1:9/apis/ccompat/v7")

    assert result.exit_code == 1
    assert "error: the schema registry at http://127.0.0.1:9/apis/ccompat/v7 does not answer" in result.stderr
    assert "hint: " in result.stderr
