"""`driftline up` and what there is to see afterwards."""

import socket

import psutil
import pytest

from driftline.stack import bring_down, running


def test_every_server_listens_on_loopback_only(risen):
    addresses = {
        address
        for process in risen.processes()
        for connection in psutil.Process(process.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
        for address in [connection.laddr.ip]
    }

    assert addresses
    assert addresses <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def test_a_second_up_says_that_it_is_up_and_starts_nothing(risen):
    before = {process.pid for process in risen.processes()}

    again = risen("up")

    assert again.returncode == 0
    assert "the stack is up already" in again.stdout
    assert {process.pid for process in risen.processes()} == before


def test_a_stack_in_a_folder_of_its_own_says_how_other_commands_find_it(risen):
    again = risen("up", "--data", str(risen.data))

    assert f"other commands find this stack with DRIFTLINE_DATA={risen.data}" in again.stderr
    assert "DRIFTLINE_DATA" not in risen("up").stderr


def test_another_port_for_a_stack_that_is_up_is_refused(risen):
    taken = int(risen.endpoints()["bootstrap"].rpartition(":")[2])

    refused = risen("up", "--port", str(taken + 1))

    assert refused.returncode == 1
    assert f"is up on port {taken}, asked for was {taken + 1}" in refused.stderr
    assert "hint: run `driftline down` first" in refused.stderr


def test_status_tells_scripts_where_everything_is(risen):
    statuses = risen.status()

    assert set(statuses) == {"kafka", "registry", "valkey"}
    assert {status["condition"] for status in statuses.values()} == {"running"}
    assert risen("status").returncode == 0
    found = running(risen.data)
    assert found is not None
    assert risen.endpoints()["bootstrap"] == found.bootstrap == statuses["kafka"]["address"]


@pytest.mark.parametrize(
    ("server", "words"),
    [("kafka", "Kafka Server started"), ("registry", "Listening on"), ("valkey", "Ready to accept")],
)
def test_logs_show_what_a_server_said(risen, server, words):
    said = risen("logs", server, "--lines", "5000")

    assert words in said.stdout


def test_logs_of_an_unknown_server_are_refused_with_the_choices(risen):
    refused = risen("logs", "zookeeper")

    assert (refused.returncode, refused.stderr) == (
        1,
        "error: unknown server 'zookeeper'; known: kafka, registry, valkey\n",
    )


def test_a_stack_started_with_one_broker_is_not_made_one_of_three(risen):
    refused = risen("up", "--brokers", "3")

    assert refused.returncode == 1
    assert "belongs to 1 broker(s), asked for were 3" in refused.stderr
    assert "--purge" in refused.stderr


def test_a_port_that_is_taken_is_refused_when_asked_for(driftline):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        refused = driftline("up", "--port", str(port))

    assert refused.returncode == 1
    assert f"port {port}, wanted for broker-1, is taken by another program" in refused.stderr
    assert not driftline.processes()


@pytest.mark.nightly
def test_usual_ports_that_are_taken_are_left_to_others(risen, driftline):
    # The stack of `risen`, or whoever was there before it, holds the usual ones.
    up = driftline("up")

    assert up.returncode == 0, up.stderr
    ports = {server["address"] for server in driftline.status().values()}
    assert not ports & {server["address"] for server in risen.status().values()}


@pytest.mark.nightly
@pytest.mark.timeout(400)
def test_two_stacks_that_start_at_once_do_not_meet(driftline, tmp_path, request):
    other = type(driftline)(tmp_path / "other")
    request.addfinalizer(lambda: bring_down(other.data, purge=True))

    both = [driftline.begin("up"), other.begin("up")]

    assert [up.wait(300) for up in both] == [0, 0]
    assert driftline("status").returncode == other("status").returncode == 0
    ours, theirs = driftline.status(), other.status()
    assert not {server["address"] for server in ours.values()} & {server["address"] for server in theirs.values()}
