"""A gateway that is told to stop while nobody answers: it ends in seconds, and all that it made lies in the spool."""

import contextlib
import signal
import socket
import sqlite3
import time

import pytest
from certificates import Authority
from patience import PATIENCE_S, eventually

from sensing.simulator import Simulated


@pytest.mark.parametrize(
    ("uplink", "url", "listens"),
    [
        pytest.param("kafka", "", False, id="no broker"),
        pytest.param("kafka", "", True, id="a silent broker"),
        pytest.param("https", "https://{}", True, id="a silent bridge"),
        pytest.param("mqtt", "mqtts://{}", False, id="no MQTT broker"),
    ],
)
def test_who_is_told_to_stop_while_nobody_answers_ends_in_seconds_with_everything_kept(
    tmp_path, serving, foundry, shell_of, uplink, url, listens
):
    # As of an hour ago: what is older than a week would expire.
    made = serving(after_s=int(time.time()) - 3_600 - Simulated("machine").start_ms // 1000)
    made.gateway.stop(made.now_ms)
    database = made.folder / "data" / "spool.db"
    before, _, _ = counted(database)
    shell, paper = shell_of(made.folder, foundry), Authority(tmp_path, "anyone").device("press-7")
    with port(listens=listens) as address:
        with (made.folder / "driftline.toml").open("a") as settings:
            settings.write(f'[gateway.uplink]\nkind = "{uplink}"\nurl = "{url.format(address)}"\n')
            settings.write(f'certificate = "{paper.certificate}"\nkey = "{paper.key}"\n')
        gateway = shell.start("gateway", "run", "--bootstrap", address, "--registry", f"http://{address}")
        assert "gateway started" in next(gateway.stderr)
        eventually(lambda: counted(database)[0] > before + 10)
        time.sleep(3)

        gateway.send_signal(signal.SIGTERM)
        told_s = time.monotonic()
        _, log = gateway.communicate(timeout=PATIENCE_S)
        took_s = time.monotonic() - told_s

    windows, spooled, dropped = counted(database)
    assert gateway.returncode == 0, log
    # A question to a bridge is held open for 55 s, and a record waits for its broker for minutes.
    assert took_s < 25, log
    assert windows > before + 10
    assert (spooled, dropped) == (windows, 0)


@contextlib.contextmanager
def port(*, listens):
    """Give an address where nobody is, or where somebody accepts and says nothing."""
    with socket.socket() as socket_:
        socket_.bind(("127.0.0.1", 0))
        if listens:
            socket_.listen(64)
        yield f"127.0.0.1:{socket_.getsockname()[1]}"


def counted(database):
    """Return how many windows were numbered, how many wait, and how many records were given up."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        numbers = dict(connection.execute("SELECT name, value FROM counters"))
        query = "SELECT count(*) FROM records WHERE topic = 'telemetry.feature-stats'"
        (waiting,) = connection.execute(query).fetchone()
    return numbers["windows"] + 1, waiting, numbers.get("dropped", 0)
