"""What operators may ask of alerts, and how a wrong request is answered."""

import uuid

import pytest

from schemas.drift_alert import AlertState, Evidence, Severity
from schemas.operators import OperatorRequest
from streams.drift.alerts import AlertBook
from streams.drift.observed import Breach, Observation, Shown
from streams.drift.policy import Life
from streams.drift.requests import RequestError, heed


@pytest.fixture
def book():
    book = AlertBook()
    shown = Shown(kind="mean_shift", evidence=Evidence(scores={}, samples=1, reference="b", horizon_ms=1))
    breach = Breach(feature="heat", family="values", severity=Severity.HIGH, closer=lambda: shown)
    book.observe(Observation(subject="d-1", model_id="m/1", at_ms=1000, breaches=(breach,)), Life())
    return book


def request(subject, action, *, at_ms=2000, **arguments):
    return OperatorRequest(
        request_id=str(uuid.UUID(int=7)),
        subject=subject,
        action=action,
        who="ada",
        why="",
        at_ms=at_ms,
        arguments=arguments,
    )


def test_an_alert_is_acknowledged_once(book):
    asked = request("alert/d-1/heat/mean_shift/1000", "acknowledge")

    (alert,) = heed(book, asked)

    assert (alert.state, alert.by) == (AlertState.ACKNOWLEDGED, "ada")
    assert heed(book, asked) == []


@pytest.mark.parametrize(
    "asked",
    [
        request("alert/d-2/heat/mean_shift/1000", "acknowledge"),
        request("rollout/r7", "acknowledge"),
        request("alert/d-1/heat/mean_shift/1000", "acknowledge", at_ms=10),
        request("rollout/r7", "pause"),
    ],
)
def test_what_is_about_something_else_changes_nothing(book, asked):
    assert heed(book, asked) == []


def test_what_matches_is_silenced(book):
    (alert,) = heed(book, request("silence/maintenance", "silence", until_ms="9000", matchers='{"subject": "d-*"}'))

    assert alert.silenced


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"matchers": "{}"}, "until_ms: found '', wanted milliseconds since 1970"),
        ({"until_ms": "9", "matchers": "{}"}, "matchers: found '{}', wanted names to patterns, JSON"),
        ({"until_ms": "9", "matchers": "[1"}, "matchers: found '[1', wanted names to patterns, JSON"),
        ({"until_ms": "9", "matchers": '{"subject": 3}'}, "wanted names to patterns, JSON"),
    ],
)
def test_a_silence_that_makes_no_sense_is_refused(book, arguments, complaint):
    with pytest.raises(RequestError) as caught:
        heed(book, request("silence/x", "silence", **arguments))

    assert complaint in str(caught.value)
