"""The typed client: every route of the API has its call, and both clients carry them out."""

import inspect
import re

import console_fleet as made
import pytest
from patience import PATIENCE_S, eventually

from console import Role
from driftline.client import AsyncClient, Call, Client, ConsoleError, calls

# What people and Prometheus look at with other means.
_NOT_FOR_CLIENTS = {
    ("get", "/health"), ("get", "/ready"), ("get", "/metrics"), ("get", "/events"), ("post", "/session"),
    ("delete", "/session"), ("get", "/session/ways"), ("post", "/session/welcome"),
    ("get", "/backtests/{backtest_id}/report"), ("get", "/devices/{device_id}/features"),
}  # fmt: skip


@pytest.fixture
def client(console):
    with Client(console.url, key=console.keys[Role.ADMIN]) as client:
        yield client


def every_call():
    """Make each call once, with arguments that tell themselves apart."""
    kinds = {str: "x1", int: 1, float: 1.0, bool: True}
    for name, function in inspect.getmembers(calls, inspect.isfunction):
        if name.startswith("_") or name == "quote" or function.__module__ != calls.__name__:
            continue
        positional, named = [], {}
        for parameter in inspect.signature(function).parameters.values():
            if parameter.default is not inspect.Parameter.empty:
                continue
            value = kinds.get(parameter.annotation, {"x": "1"} if "Mapping" in str(parameter.annotation) else ["x1"])
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                named[parameter.name] = value
            else:
                positional.append("x1" if parameter.kind is inspect.Parameter.VAR_POSITIONAL else value)
        yield function(*positional, **named)


def test_every_route_of_the_api_has_a_call_and_every_call_a_route(viewer):
    paths = viewer.get("/openapi.json").json()["paths"]
    routes = {(method, path) for path, methods in paths.items() for method in methods} - _NOT_FOR_CLIENTS

    def route_of(call: Call):
        exact = (call.method.lower(), call.path)
        if exact in routes:
            return exact
        shaped = [
            (method, path)
            for method, path in routes
            if method == exact[0] and re.fullmatch(re.sub(r"\{[^}]+\}", "x1", path), call.path)
        ]
        return shaped[0] if shaped else call.path

    assert {route_of(call) for call in every_call()} == routes


def test_a_list_is_read_page_after_page(console, client, name):
    console.publish("fleet.devices", [made.device(f"{name}-{i}", labels={"line": name}) for i in range(5)])
    eventually(lambda: client.do(calls.devices(label=[f"line={name}"]))["total"] == 5)

    found = [row["device_id"] for row in client.every(calls.devices(label=[f"line={name}"], limit=2))]

    assert found == [f"{name}-{i}" for i in range(5)]


def test_a_refusal_is_an_error_with_a_kind(client):
    with pytest.raises(ConsoleError) as refused:
        client.do(calls.pause("no such/rollout"))

    assert (refused.value.status, refused.value.kind) == (404, "no-rollout")


def test_a_change_that_is_sent_twice_is_done_once(console, client, name):
    console.publish("rollouts.status", [made.status(name)])
    eventually(lambda: any(one["rollout_id"] == name for one in client.every(calls.rollouts())))
    pause = calls.pause(name, why="look")

    first, again = client.do(pause), client.do(pause)

    assert first == again
    asked = [one for one in client.every(calls.audit(subject=f"rollout/{name}")) if one["action"] == "asked to pause"]
    assert len(asked) <= 1


def test_a_policy_is_issued_after_the_revision_that_was_read_and_no_other(client, name):
    weak, strong = "[floors]\npsi = 0.06", "[floors]\npsi = 0.02"
    client.do(calls.issue_policy(name, weak))
    read = eventually(lambda: [one for one in client.do(calls.policies())["items"] if one["policy_id"] == name])[0]

    second = client.do(calls.issue_policy(name, strong, after_revision=read["revision"]))
    eventually(lambda: client.do(calls.policy(name))["revision"] == 2)
    with pytest.raises(ConsoleError) as refused:
        client.do(calls.issue_policy(name, weak, after_revision=read["revision"]))

    assert second["revision"] == 2
    assert (refused.value.status, refused.value.kind) == (412, "changed-meanwhile")
    assert client.do(calls.policy(name))["document"] == strong


def test_an_unreachable_console_is_told_of(console):
    with Client("http://127.0.0.1:9", key="dl_x", tries=2) as client, pytest.raises(ConsoleError) as away:
        client.do(calls.stats())

    assert away.value.kind == "unreachable"


async def test_the_async_client_asks_and_follows(console, name):
    async with AsyncClient(console.url, key=console.keys[Role.VIEWER]) as client:
        assert (await client.do(calls.session()))["role"] == "viewer"
        following = client.follow(["rollout"])
        console.publish("rollouts.status", [made.status(f"{name}-{i}") for i in range(30)])
        import asyncio

        async def tell():
            """Again and again: what it does not follow yet, it does not hear."""
            while True:
                await asyncio.sleep(1)
                console.publish("rollouts.status", [made.status(name)])

        telling = asyncio.create_task(tell())
        async with asyncio.timeout(PATIENCE_S):
            async for news in following:
                if news.key == name:
                    break
        telling.cancel()
        await following.aclose()

    assert (news.kind, news.value["model_id"]) == ("rollout", "bearings/2")
