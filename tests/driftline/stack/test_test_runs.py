"""What a run of pytest promises about the stack it uses."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from patience import PATIENCE_S, eventually

# They start several servers, several times.
pytestmark = pytest.mark.timeout(400)
HERE = Path(__file__).parent
ROOT = HERE.parents[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_test_run_that_is_ended_leaves_nothing_behind(number):
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "--stack=embedded", "-q", str(HERE / "test_serving.py")],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        # As from a terminal: a shell's background job would ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    servers: dict[psutil.Process, Path] = {}
    eventually(lambda: servers.update(_servers_of(run.pid)) or len(servers) >= 3)
    (data,) = set(servers.values())
    others = psutil.Process(run.pid).children()

    run.send_signal(number)

    run.wait(PATIENCE_S)
    eventually(lambda: not any(child.is_running() for child in (*servers, *others)))
    eventually(lambda: not data.exists())


@pytest.mark.parametrize(
    ("options", "environment", "words"),
    [
        pytest.param(["--stack=embedded"], {}, "stack: embedded servers, because --stack asks for them", id="asked"),
        pytest.param(
            [],
            {"DOCKER_HOST": "unix:///nowhere.sock"},
            "stack: embedded servers, because Docker can't be used: ",
            id="no engine",
        ),
        pytest.param(
            [],
            {"PATH": "/nowhere"},
            "stack: embedded servers, because Docker can't be used: there is no docker command",
            id="no command",
        ),
    ],
)
def test_the_head_of_the_report_says_how_servers_run_and_why(options, environment, words):
    head = _collect(*options, environment=environment)

    assert words in head.stdout


def test_docker_that_was_asked_for_and_is_not_there_stops_the_run():
    refused = _collect("--stack=docker", environment={"DOCKER_HOST": "unix:///nowhere.sock"})

    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--stack=docker: " in refused.stderr


def _collect(*options: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", *options, str(HERE / "test_lock.py")],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def _servers_of(pid: int) -> Iterator[tuple[psutil.Process, Path]]:
    for child in psutil.Process(pid).children():
        with suppress(psutil.Error):
            if "STACK_OF_DRIFTLINE" in child.environ():
                yield child, Path(child.environ()["STACK_OF_DRIFTLINE"])
