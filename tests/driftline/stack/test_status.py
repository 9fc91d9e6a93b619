"""What is known of a stack by whoever did not start it."""

import sys

from driftline.stack.state import Endpoints, State, save
from driftline.stack.status import running

ENDPOINTS = Endpoints("127.0.0.1:19092", "http://127.0.0.1:18081/apis/ccompat/v7", "redis://127.0.0.1:16379/0")
UP = State(
    kind="embedded",
    brokers=1,
    cluster_id="MkU3OEVBNTcwNTJENDM2Qg",
    up=True,
    servers=("kafka", "registry", "valkey"),
    ports={"broker-1": 19092},
    endpoints=ENDPOINTS,
)


def test_a_stack_whose_brokers_are_gone_is_not_named(tmp_path):
    save(tmp_path, UP)

    assert running(tmp_path) is None


def test_an_installation_that_cannot_look_at_processes_takes_the_stacks_word(tmp_path, monkeypatch):
    """`pip install driftline` finds the stack that another installation started."""
    save(tmp_path, UP)
    monkeypatch.setitem(sys.modules, "psutil", None)

    assert running(tmp_path) == ENDPOINTS
