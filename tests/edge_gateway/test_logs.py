"""Log lines for machines."""

import json
import logging
import sys

import pytest

from edge_gateway.logs import JsonLines


def line(message, *values, exc_info=None):
    record = logging.LogRecord("edge_gateway.slots", logging.WARNING, "", 0, message, values, exc_info)
    text = JsonLines().format(record)
    assert "\n" not in text
    return json.loads(text)


def test_what_a_line_names_can_be_asked_for():
    found = line("slot activated: slot=%s model=%s after-s=%.1f tries=%d", "B", "m/8", 1.25, 3)

    assert (found["level"], found["logger"], found["event"]) == ("warning", "edge_gateway.slots", "slot activated")
    assert (found["slot"], found["model"], found["after_s"], found["tries"]) == ("B", "m/8", 1.25, 3)
    assert found["message"] == "slot activated: slot=B model=m/8 after-s=1.2 tries=3"


@pytest.mark.parametrize(
    ("message", "values"), [("plain", ()), ("commands cannot be followed: %s", ("why\nnot",)), ("100 %% of a=%d", (1,))]
)
def test_what_has_no_names_is_told_as_it_is(message, values):
    assert line(message, *values)["event"] == message % values if values else message


def test_no_name_goes_over_what_every_line_has():
    assert line("x: level=%s at=%s", "mine", "mine")["level"] == "warning"


def test_an_exception_stays_on_its_line():
    try:
        raise ValueError("of\nno use")
    except ValueError:
        found = line("failed", exc_info=sys.exc_info())

    assert "ValueError: of\nno use" in found["exception"]
