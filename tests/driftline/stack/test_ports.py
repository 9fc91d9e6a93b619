"""Which ports a stack chooses."""

import random
import socket
import subprocess
import sys

import pytest

from driftline.stack.errors import PortTakenError, StackError
from driftline.stack.layout import assign_ports
from driftline.stack.ports import free, pick, reserving

LISTENERS = {"broker-1", "controller-1", "registry", "registry-management", "valkey"}


@pytest.fixture
def rng():
    return random.Random(7)


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def _anything(_port):
    return True


def test_every_listener_has_a_port_of_its_own(tmp_path, rng):
    with reserving(tmp_path) as reserve:
        ports = assign_ports(3, asked=None, before={}, usual=True, reserve=reserve, rng=rng)

    assert len(ports) == len(set(ports.values())) == 9
    assert set(assign_ports(1, asked=None, before={}, usual=True, reserve=_anything, rng=rng)) == LISTENERS


def test_a_stack_comes_back_where_it_was(tmp_path, rng):
    with reserving(tmp_path) as reserve:
        before = assign_ports(1, asked=None, before={}, usual=False, reserve=reserve, rng=rng)
    with reserving(tmp_path) as reserve:
        after = assign_ports(1, asked=None, before=before, usual=True, reserve=reserve, rng=rng)

    assert after == before


def test_a_port_that_is_taken_is_passed_over(taken, rng):
    chosen = pick("registry", asked=None, preferred=[taken], reserve=_anything, rng=rng)

    assert chosen != taken
    assert free(chosen)


def test_a_port_that_was_asked_for_is_that_or_an_error(taken, rng):
    with pytest.raises(PortTakenError, match=f"port {taken}, wanted for broker-1, is taken by another program"):
        pick("broker-1", asked=taken, preferred=[], reserve=_anything, rng=rng)


def test_a_port_that_another_stack_is_about_to_open_is_passed_over(tmp_path, rng):
    code = "import sys, time; from pathlib import Path; from driftline.stack.ports import reserving\n"
    code += "with reserving(Path(sys.argv[1])) as reserve: print(reserve(15_151), flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        with reserving(tmp_path) as reserve:
            assert not reserve(15_151)

        other.kill()
        other.wait()

        with reserving(tmp_path) as reserve:
            assert reserve(15_151)


def test_a_stack_of_two_brokers_is_refused(rng):
    with pytest.raises(StackError, match="a stack has 1 or 3 brokers, not 2"):
        assign_ports(2, asked=None, before={}, usual=True, reserve=_anything, rng=rng)
