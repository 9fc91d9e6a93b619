"""`driftline topics`, as it is typed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from patience import PATIENCE_S

from schemas.asyncapi import COMMITTED
from schemas.catalogue import CATALOGUE

DRIFTLINE = Path(sys.executable).with_name("driftline")


def driftline(*arguments, folder, **environ):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DRIFTLINE_")}
    return subprocess.run(
        [DRIFTLINE, "topics", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        cwd=folder,
        env=kept | {"DRIFTLINE_DATA": str(folder / "no-stack"), **environ},
        check=False,
    )


@pytest.fixture
def admin(bootstrap, prefix):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    yield admin
    ours = [name for name in admin.list_topics(timeout=PATIENCE_S).topics if name.startswith(prefix)]
    for gone in admin.delete_topics(ours).values() if ours else ():
        gone.result(PATIENCE_S)


def test_the_catalogue_is_shown_a_topic_a_line(tmp_path):
    shown = driftline(folder=tmp_path)

    lines = shown.stdout.splitlines()
    assert shown.returncode == 0
    assert lines[0].split() == ["TOPIC", "KEY", "PARTITIONS", "KEPT", "RECORD", "WRITER"]
    assert [line.split()[0] for line in lines[1:]] == list(CATALOGUE)


def test_scripts_get_json(tmp_path):
    shown = json.loads(driftline("--json", folder=tmp_path).stdout)

    (commands,) = (topic for topic in shown if topic["name"] == "rollouts.commands")
    assert (commands["key"], commands["cleanup"], commands["partitions"]) == ("device_id", "compact", 12)


def test_topics_are_made_checked_and_left_alone(tmp_path, bootstrap, prefix, admin):
    where = ("--bootstrap", bootstrap, "--prefix", prefix)

    before = driftline("check", *where, folder=tmp_path)
    made = driftline("create", *where, folder=tmp_path)
    again = driftline("create", *where, folder=tmp_path)
    after = driftline("check", *where, folder=tmp_path)

    assert before.returncode == 1
    assert f"missing: {prefix}rollouts.commands" in before.stdout
    assert "driftline topics create" in before.stderr
    assert made.returncode == 0
    assert f"created {prefix}rollouts.commands" in made.stdout
    assert again.stdout == f"0 created, {len(CATALOGUE)} were there, 0 differ from the catalogue\n"
    assert after.returncode == 0


def test_what_differs_is_reported_and_the_exit_code_says_so(tmp_path, bootstrap, prefix, admin):
    name = f"{prefix}rollouts.commands"
    admin.create_topics([NewTopic(name, 2, 1, config={"cleanup.policy": "delete"})])[name].result(PATIENCE_S)
    environ = {"DRIFTLINE_BOOTSTRAP": bootstrap, "DRIFTLINE_PREFIX": prefix}

    made = driftline("create", folder=tmp_path, **environ)
    checked = driftline("check", "--json", folder=tmp_path, **environ)

    assert made.returncode == 1
    assert f"differs: {name}: partitions is 2, wanted 12" in made.stdout
    assert f"differs: {name}: cleanup.policy is delete, wanted compact" in made.stdout
    told = json.loads(checked.stdout)
    assert checked.returncode == 1
    assert told["missing"] == []
    assert {"topic": name, "setting": "partitions", "found": "2", "wanted": "12"} in told["differences"]


def test_a_broker_that_is_away_is_an_error_in_time(tmp_path):
    failed = driftline("check", "--bootstrap", "127.0.0.1:1", folder=tmp_path)

    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr.startswith("error: no Kafka broker answered at 127.0.0.1:1 within 10 s")
    assert "Traceback" not in failed.stderr


def test_a_bad_setting_stops_it(tmp_path):
    failed = driftline("check", folder=tmp_path, DRIFTLINE_BOOTSTAP="x")

    assert failed.returncode == 1
    assert "did you mean 'DRIFTLINE_BOOTSTRAP'?" in failed.stderr


def test_the_asyncapi_document_is_printed(tmp_path):
    assert driftline("asyncapi", folder=tmp_path).stdout == COMMITTED.read_text(encoding="utf-8")
