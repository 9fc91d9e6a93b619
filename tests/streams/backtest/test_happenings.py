"""What happened beside the telemetry, and from which record on it counts."""

import json

import numpy as np
from drift_fleet import asked

from streams.backtest.happenings import Asked, Labelled, Surroundings
from streams.drift.alerts import AlertBook
from streams.drift.heeding import heeded, places_of

FOR_EVER = str(2**50)


def silence(name, at_ms):
    request = asked(f"silence/{name}", "silence", until_ms=FOR_EVER, matchers=json.dumps({"subject": "d-1"}))
    return Asked(at_ms, request)


def test_what_has_no_place_counts_from_its_time():
    around, book = Surroundings([Labelled(50, "d-1", {"site": "a"}), silence("works", 100)]), AlertBook()

    around.pass_to(99, book, before=7, is_next=True)
    assert (around.labels.all, set(book.silences)) == ({"d-1": {"site": "a"}}, set())

    around.pass_to(100, book)
    assert set(book.silences) == {"works"}


def test_a_request_with_a_place_counts_from_its_record_on_however_early_that_arrived():
    one = silence("works", 300)
    around, book = Surroundings([one], {one.request.request_id: 50}), AlertBook()

    around.pass_to(100, book, before=49, is_next=True)
    assert not book.silences

    around.pass_to(110, book, before=50, is_next=True)
    assert set(book.silences) == {"works"}


def test_time_alone_does_not_reach_a_request_before_its_record_and_its_own_time():
    one = silence("works", 300)
    around, book = Surroundings([one], {one.request.request_id: 50}), AlertBook()

    around.pass_to(400, book, before=49)
    around.pass_to(200, book, before=50)
    assert not book.silences

    around.pass_to(300, book, before=50)
    assert set(book.silences) == {"works"}


def test_windows_are_cut_where_something_counts_from():
    one, other = silence("placed", 300), silence("timed", 30)
    around = Surroundings([other, one], {one.request.request_id: 12})

    turns = around.turns(np.array([10, 20, 30, 40]), np.array([10, 11, 12, 13]))

    assert turns.tolist() == [0, 0, 2, 2]


def test_the_audit_log_says_where_a_request_was_heeded():
    request = asked("alert/x", "acknowledge")

    entry = heeded(request, "telemetry.feature-stats", {3: 70, 1: 12}, who="drift worker", now_ms=5)

    assert entry.subject == f"request/{request.request_id}"
    assert list(places_of(entry)) == [(("telemetry.feature-stats", 1), 12), (("telemetry.feature-stats", 3), 70)]
