"""Which processes are ours, and which never are."""

import os
import socket
import subprocess
import sys

import pytest

from driftline.stack.processes import Process, alive, kill, listens, marked, spawn, terminate


@pytest.fixture
def server(tmp_path):
    started = spawn(
        ["sleep", "600"], name="kafka", stack=tmp_path, environment={}, folder=tmp_path, log=tmp_path / "kafka.log"
    )
    yield started
    kill([started])


def test_a_number_that_went_to_another_program_is_left_alone(tmp_path):
    with subprocess.Popen(["sleep", "600"]) as bystander:
        remembered = Process(bystander.pid, "kafka", tmp_path)

        terminate([remembered])
        kill([remembered])

        assert not alive(remembered)
        assert bystander.poll() is None
        bystander.kill()


def test_a_server_is_found_by_its_own_stack_only(server, tmp_path):
    assert marked(tmp_path / "elsewhere") == []
    assert marked(tmp_path) == [server]


def test_a_port_that_another_program_was_quicker_to_open_is_not_taken_for_the_servers(server):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        assert not listens(server, [port])
        assert listens(Process(os.getpid(), "this test", server.stack), [port])


def test_what_a_killed_program_started_is_found_by_its_mark(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from driftline.stack.processes import spawn\n"
        "data = Path(sys.argv[1])\n"
        "spawn(['sleep', '600'], name='kafka', stack=data, environment={}, folder=data, log=data / 'log')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False)

    (left,) = marked(tmp_path)

    assert left.name == "kafka"
    terminate([left])
    assert marked(tmp_path) == []


def test_one_that_will_not_end_is_killed(tmp_path):
    stubborn = spawn(
        [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); print('up'); time.sleep(600)"],
        name="kafka",
        stack=tmp_path,
        environment={"PYTHONUNBUFFERED": "1"},
        folder=tmp_path,
        log=tmp_path / "log",
    )
    while "up" not in (tmp_path / "log").read_text():
        assert alive(stubborn)

    terminate([stubborn], grace_s=0.3)

    assert not alive(stubborn)


def test_a_server_is_in_a_session_of_its_own_where_no_ctrl_c_reaches_it(server):
    assert os.getsid(server.pid) == server.pid
