"""Stacks that end: by `down`, by a signal, by a crash, and come again."""

import os
import signal
import subprocess
import sys

import psutil
import pytest
import redis
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from patience import PATIENCE_S, eventually

from driftline.stack.processes import alive, marked

# They start several servers, several times.
pytestmark = pytest.mark.timeout(400)
SCHEMA = Schema('{"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}', "AVRO")


def test_data_survives_a_crash_down_and_up_and_ends_with_purge(driftline):
    driftline.data.mkdir()
    (driftline.data / "thesis.txt").write_text("years of work")
    assert driftline("up").returncode == 0
    _write(driftline.endpoints())

    os.kill(driftline.status()["kafka"]["pid"], signal.SIGKILL)
    eventually(lambda: driftline.status()["kafka"]["condition"] == "crashed")
    _crash_is_shown_and_healed(driftline)
    down = driftline("down")

    assert down.stdout.endswith(", kafka\n"), driftline("logs", "kafka").stdout
    assert not driftline.processes()
    assert {s["condition"] for s in driftline.status().values()} == {"stopped"}
    assert driftline("up").returncode == 0
    assert _read(driftline.endpoints()) == (b"a window", 1, b"value")
    assert driftline("down", "--purge").returncode == 0
    assert not driftline.processes()
    assert [path.name for path in driftline.data.iterdir()] == ["thesis.txt"], "only what is ours is purged"


def _crash_is_shown_and_healed(driftline):
    others = {name: driftline.status()[name]["pid"] for name in ("registry", "valkey")}
    status = driftline("status")
    assert status.returncode == 1
    assert "kafka     crashed" in status.stdout
    last_line = (driftline.data / "logs" / "kafka.log").read_text().splitlines()[-1]
    assert last_line[:100] in status.stderr
    healed = driftline("up")
    assert "started again: kafka" in healed.stdout
    assert {name: driftline.status()[name]["pid"] for name in others} == others
    assert driftline("status").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_up_that_is_interrupted_leaves_no_process(driftline, number):
    up = driftline.begin("up")
    eventually(lambda: len(driftline.processes()) == 3)

    up.send_signal(number)
    up.send_signal(number)
    said, _ = up.communicate(timeout=PATIENCE_S)

    assert up.returncode == 130, said
    assert "error: interrupted" in said
    assert not driftline.processes()


def test_what_a_killed_up_left_behind_is_ended_by_up_and_by_down(driftline):
    _kill_while_it_starts(driftline)
    left = {process.pid for process in driftline.processes()}
    assert left

    assert driftline("down").returncode == 0
    assert not driftline.processes()

    _kill_while_it_starts(driftline)
    left = {process.pid for process in driftline.processes()}
    again = driftline("up")
    assert again.returncode == 0, again.stderr
    assert driftline("status").returncode == 0
    assert not left & {process.pid for process in driftline.processes()}


def _kill_while_it_starts(driftline):
    up = driftline.begin("up")
    eventually(lambda: len(driftline.processes()) == 3)
    up.kill()
    up.wait()


def test_a_server_that_cannot_start_is_named_with_its_last_words(driftline):
    # Data of another broker: Kafka refuses it.
    log = driftline.data / "kafka" / "log"
    log.mkdir(parents=True)
    (log / "meta.properties").write_text("version=1\ncluster.id=5L6g3nShT-eMCtK--X86sw\nnode.id=7\n")

    up = driftline("up")

    assert up.returncode == 1
    assert "error: kafka ended while starting; " in up.stderr
    assert "Stored node id 7 doesn't match previous node id 1" in up.stderr
    assert not driftline.processes()


def test_a_stack_of_a_script_ends_with_the_script_even_by_kill_9(tmp_path):
    script = (
        "import os, subprocess, sys, time; from pathlib import Path; from driftline.stack import Stack\n"
        "stack = Stack.start(Path(sys.argv[1]))\n"
        "subprocess.Popen(['sleep', '600'], env={**os.environ, **stack.mark('its own worker')})\n"
        "print('up', flush=True); time.sleep(600)"
    )
    data = (tmp_path / "stack").resolve()
    process = subprocess.Popen([sys.executable, "-c", script, data], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    servers = marked(data)
    assert len(servers) == 4
    watchdogs = [child for child in psutil.Process(process.pid).children() if "watchdog" in " ".join(child.cmdline())]

    process.kill()
    process.wait()

    eventually(lambda: not any(map(alive, servers)))
    eventually(lambda: not any(watchdog.is_running() for watchdog in watchdogs))
    assert data.is_dir()


def _write(endpoints: dict[str, str]) -> None:
    admin = AdminClient({"bootstrap.servers": endpoints["bootstrap"]})
    admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(PATIENCE_S)
    producer = Producer({"bootstrap.servers": endpoints["bootstrap"]})
    producer.produce("kept", b"a window")
    assert producer.flush(PATIENCE_S) == 0
    SchemaRegistryClient({"url": endpoints["registry_url"]}).register_schema("kept-value", SCHEMA)
    redis.Redis.from_url(endpoints["redis_url"]).set("kept", "value")


def _read(endpoints: dict[str, str]) -> tuple[bytes | None, int, bytes | None]:
    consumer = Consumer({"bootstrap.servers": endpoints["bootstrap"], "group.id": "g", "auto.offset.reset": "earliest"})
    consumer.subscribe(["kept"])
    message = consumer.poll(PATIENCE_S)
    consumer.close()
    version = SchemaRegistryClient({"url": endpoints["registry_url"]}).get_latest_version("kept-value").version
    return message and message.value(), version, redis.Redis.from_url(endpoints["redis_url"]).get("kept")
