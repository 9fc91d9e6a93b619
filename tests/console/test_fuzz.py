"""Whatever is sent to the API: it never answers with a fault of its own, and always as its description says."""

import console_fleet as made
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from patience import PATIENCE_S, eventually
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from console import Role

# A stream has no end, a session would be ended for the others, and a backtest for each example keeps the machine busy.
_LEFT_OUT = {("GET", "/events"), ("DELETE", "/session"), ("POST", "/backtests")}


@pytest.fixture(scope="module")
def operations(console):
    """Every operation that the API describes; with one of everything to be found."""
    console.publish("fleet.devices", [made.device("0")])
    console.publish("drift.alerts", [made.alert("0")])
    console.publish("rollouts.status", [made.status("0")])
    console.publish("models.releases", [made.release("0", model="0")])
    with console.client(Role.VIEWER) as viewer:
        eventually(lambda: viewer.get("/rollouts/0").status_code == 200)
        eventually(lambda: viewer.get("/devices/0").status_code == 200)
    described = schemathesis.openapi.from_url(f"{console.url}/openapi.json")
    found = [result.ok() for result in described.get_all_operations()]
    return [one for one in found if (one.method.upper(), one.path) not in _LEFT_OUT]


def test_nothing_that_is_sent_makes_the_console_fail(operations, console):
    _send_to_each(operations, console, examples=4)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_nothing_that_is_sent_for_long_makes_the_console_fail(operations, console):
    _send_to_each(operations, console, examples=200)


def _send_to_each(operations, console, *, examples):
    headers = {"Authorization": f"Bearer {console.keys[Role.ADMIN]}"}
    checks = (not_a_server_error, content_type_conformance, response_schema_conformance)
    assert len(operations) > 40

    for operation in operations:

        @settings(
            max_examples=examples, deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def send(case):
            case.call_and_validate(headers=headers, timeout=PATIENCE_S, checks=checks)

        send()
