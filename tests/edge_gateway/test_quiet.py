"""Change-only reporting: fewer records, the same counts."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_gateway import ConfigError, WindowConfig
from edge_gateway.quiet import QuietWindows, differs
from sensing.sketch import SketchedWindow, merge
from sensing.tally import Tally

MINUTE_MS = 60_000
CONFIG = WindowConfig(length_s=60.0, quiet_s=300.0)


def tally(place=3, samples=60, missing=0, out_of_range=0):
    """One feature whose values lie in one of 16 bins."""
    usable = samples - missing
    counts = np.zeros((1, 16), dtype=np.int64)
    counts[0, place] = usable
    value = float(place) if usable else np.nan
    return Tally(
        samples=samples,
        counts=counts,
        missing=np.array([missing]),
        out_of_range=np.array([out_of_range]),
        mean=np.array([value]),
        m2=np.array([0.0]),
        min=np.array([value]),
        max=np.array([value]),
    )


def windows(*tallies, first=0):
    return [
        SketchedWindow(minute * MINUTE_MS, (minute + 1) * MINUTE_MS, each) for minute, each in enumerate(tallies, first)
    ]


def told(quiet, given):
    return [summed for window in given for summed in quiet.take(window)]


def test_without_the_option_every_window_goes_out_by_itself():
    quiet = QuietWindows(WindowConfig())

    assert [summed.windows for summed in told(quiet, windows(*[tally()] * 4))] == [1, 1, 1, 1]


def test_windows_that_look_alike_go_out_as_their_sum_once_a_span():
    out = told(QuietWindows(CONFIG), windows(*[tally()] * 10))

    # The first one is news; what follows is summed up to the end of each span.
    assert [(each.window.start_ms // MINUTE_MS, each.window.end_ms // MINUTE_MS, each.windows) for each in out] == [
        (0, 1, 1),
        (1, 5, 4),
        (5, 10, 5),
    ]


def test_a_change_goes_out_at_once_and_what_was_held_back_goes_before_it():
    out = told(QuietWindows(CONFIG), windows(tally(), tally(), tally(), tally(14)))

    assert [(each.window.end_ms // MINUTE_MS, each.windows) for each in out] == [(1, 1), (3, 2), (4, 1)]


def test_a_gap_ends_a_span():
    quiet = QuietWindows(CONFIG)

    told(quiet, windows(tally(), tally()))
    out = told(quiet, windows(tally(), first=60))

    assert [(each.window.start_ms // MINUTE_MS, each.windows) for each in out] == [(1, 1)]


@pytest.mark.parametrize(
    ("live", "moved"),
    [
        pytest.param(tally(3), False, id="the same"),
        pytest.param(tally(8), False, id="within the deadband"),
        pytest.param(tally(9), True, id="beyond it"),
        pytest.param(tally(missing=2), False, id="a few are missing"),
        pytest.param(tally(missing=6), True, id="some are missing"),
        pytest.param(tally(missing=60), True, id="all are missing"),
        pytest.param(tally(out_of_range=6), True, id="out of range"),
        pytest.param(tally(samples=30), False, id="fewer of the same"),
    ],
)
def test_what_is_a_change(live, moved):
    assert differs(tally(), live, 5.0) is moved


def test_a_dead_sensor_that_stays_dead_is_no_news():
    assert not differs(tally(missing=60), tally(missing=60), 5.0)


def test_a_restart_goes_on_with_what_was_held_back():
    quiet, again = QuietWindows(CONFIG), QuietWindows(CONFIG)
    told(quiet, windows(*[tally()] * 3))

    again.thaw(quiet.freeze())
    out = told(again, windows(*[tally()] * 2, first=3))

    assert [(each.window.start_ms // MINUTE_MS, each.windows) for each in out] == [(1, 4)]


@settings(max_examples=200, deadline=None)
@given(
    places=st.lists(st.integers(0, 15), min_size=1, max_size=40),
    first=st.integers(0, 20),
    cut=st.integers(0, 40),
)
def test_whatever_is_held_back_nothing_is_left_out_or_told_twice(places, first, cut):
    given = windows(*[tally(place) for place in places], first=first)
    quiet = QuietWindows(CONFIG)

    out = told(quiet, given[:cut])
    again = QuietWindows(CONFIG)
    again.thaw(quiet.freeze())
    out += told(again, given[cut:]) + again.flush()

    assert sum(each.windows for each in out) == len(given)
    everything, sent = merge([each.tally for each in given]), merge([each.window.tally for each in out])
    assert sent.samples == everything.samples
    assert (sent.counts == everything.counts).all()
    assert np.allclose(sent.mean, everything.mean)
    spans = [(each.window.start_ms, each.window.end_ms) for each in out]
    assert spans == sorted(spans)
    # None reaches over the border of a span.
    assert all(start // 300_000 == (end - 1) // 300_000 for start, end in spans)


@pytest.mark.parametrize("quiet_s", [30.0, 90.0, -60.0])
def test_a_span_holds_whole_windows(quiet_s):
    with pytest.raises(ConfigError, match=r"windows.quiet_s is .*; wanted: 0, or a multiple of windows.length_s"):
        WindowConfig(length_s=60.0, quiet_s=quiet_s)


def test_a_gateway_sends_fewer_records_of_the_same_samples(serving):
    quiet = serving(windows=WindowConfig(length_s=10.0, lateness_s=0.0, checkpoint_s=1.0, quiet_s=60.0, deadband=15.0))
    before = len(quiet.sent("telemetry.feature-stats"))

    quiet.run(300)
    quiet.restart()
    quiet.run(300)

    stats = quiet.sent("telemetry.feature-stats")[before:]
    assert len(stats) <= 14
    assert max(each.windows for each in stats) > 1
    assert [each.seq for each in stats] == list(range(before, before + len(stats)))
    # Seamless, restart or not.
    assert all(one.window_end_ms == next_.window_start_ms for one, next_ in itertools.pairwise(stats))
    # Health is told of every window all the same.
    assert len(quiet.sent("telemetry.model-health")) >= 60
