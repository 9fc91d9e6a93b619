"""Alerts held against incidents, by episodes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from streams.backtest.comparison import compare
from streams.backtest.errors import BacktestError
from streams.backtest.evaluation import always_firing, evaluate, never_firing
from streams.backtest.incidents import Incident, IncidentError, known_devices_only, read_incidents
from streams.backtest.intervals import rate_interval, share_interval
from streams.backtest.logbook import DeviceNotes
from streams.backtest.span import Span, moment_ms
from streams.backtest.stories import Firing, Story

HOUR = 3_600_000


def story(subject="d-1", *fired, feature="f0", kind="mean_shift", opened=0):
    firings = [Firing(one * HOUR, (one + 1) * HOUR) for one in fired]
    return Story(f"{subject}/{feature}/{opened}/{fired}", subject, feature, kind, "m/1", opened, "high", firings)


def incident(device="d-1", start=10, end=20, **more):
    return Incident(device, start * HOUR, end * HOUR, **more)


def held(stories, incidents, **more):
    return evaluate("p", stories, incidents, device_days=10.0, **more)


def test_an_incident_is_hit_once_however_often_it_is_told_of():
    found = held([story("d-1", 12, 14), story("d-1", 15, feature="f1")], [incident()])

    assert (found.hits, found.false_alerts, found.precision, found.recall, found.f1) == (1, 0, 1.0, 1.0, 1.0)
    assert found.delays_ms == (2 * HOUR,)


@pytest.mark.parametrize(
    ("stories", "hits", "false_alerts"),
    [
        pytest.param([story("d-1", 30)], 0, 1, id="an alarm after the last incident is false"),
        pytest.param([story("d-1", 5)], 0, 1, id="an alert from before that goes on is no hit"),
        pytest.param([story("d-2", 12)], 0, 1, id="another device's alert is false"),
        pytest.param([story("d-1", 5, 12)], 1, 1, id="one that fired again within is a hit, its first firing false"),
        pytest.param([story("d-1")], 0, 0, id="one that never fired is nothing"),
        pytest.param([], 0, 0, id="silence is a miss"),
    ],
)
def test_what_counts_as_what(stories, hits, false_alerts):
    found = held(stories, [incident()])

    assert (found.hits, found.false_alerts) == (hits, false_alerts)


def test_tolerance_widens_the_window_on_both_sides():
    stories = [story("d-1", 9), story("d-2", 21)]
    incidents = [incident("d-1"), incident("d-2")]

    assert held(stories, incidents).hits == 0
    found = held(stories, incidents, tolerance_ms=HOUR)

    assert found.hits == 2
    assert found.delays_ms == (0, 11 * HOUR)


def test_an_incident_may_name_feature_and_kind():
    incidents = [incident(feature="f1"), incident("d-2", kind="dead_sensor")]

    assert held([story("d-1", 12), story("d-2", 12)], incidents).hits == 0
    assert held([story("d-1", 12, feature="f1"), story("d-2", 12, kind="dead_sensor")], incidents).hits == 2


def test_only_the_stretch_that_is_reported_counts():
    stories, incidents = [story("d-1", 12), story("d-1", 40), story("d-1", 60)], [incident(), incident("d-1", 55, 65)]

    found = held(stories, incidents, within=Span(15 * HOUR, 100 * HOUR))

    assert (found.incidents, found.hits, found.false_alerts) == (1, 1, 1)


def test_a_miss_costs_the_whole_incident():
    found = held([story("d-1", 12)], [incident(), incident("d-2", 0, 30)], tolerance_ms=HOUR)

    assert found.censored_delay_ms == (2 + 31) / 2 * HOUR


def test_the_floors_are_what_they_say():
    devices = {"d-1": DeviceNotes(windows=100, covered_ms=100 * HOUR, first_ms=0, last_ms=100 * HOUR)}
    incidents = [incident(), incident("d-1", 15, 30)]

    always = always_firing(incidents, devices, device_days=100 / 24)
    never = never_firing(incidents, device_days=100 / 24)

    assert (always.recall, always.false_alerts, always.censored_delay_ms) == (1.0, 80, 0.0)
    assert (never.recall, never.false_alerts) == (0.0, 0)
    assert math.isnan(never.precision)


@given(count=st.integers(0, 200), exposure=st.floats(0.01, 1e6))
def test_rates_have_garwoods_interval(count, exposure):
    low, high = rate_interval(count, exposure)

    assert low == pytest.approx(stats.chi2.ppf(0.025, 2 * count) / 2 / exposure if count else 0.0, rel=1e-6)
    assert high == pytest.approx(stats.chi2.ppf(0.975, 2 * count + 2) / 2 / exposure, rel=1e-6)


@given(of=st.integers(1, 1000), data=st.data())
def test_shares_have_wilsons_interval(of, data):
    hits = data.draw(st.integers(0, of))
    wanted = stats.binomtest(hits, of).proportion_ci(method="wilson")

    assert share_interval(hits, of) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


def test_a_labels_file_is_read(tmp_path):
    path = tmp_path / "incidents.csv"
    path.write_text(
        "device,start,end,feature\n\nd-1, 2026-11-01 08:00 ,2026-11-01T10:00Z,f0\nd-2,2026-11-02,2026-11-03,\n"
    )

    first, second = read_incidents(path)

    assert first == Incident("d-1", moment_ms("2026-11-01T08:00Z"), moment_ms("2026-11-01T10:00Z"), "f0")
    assert (second.device_id, second.to_ms - second.from_ms) == ("d-2", 24 * HOUR)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: found nothing, wanted a header: device, start, end"),
        ("device,start\n", "line 1: found columns device, start, wanted also end"),
        ("device,start,end,who\n", "line 1: found columns device, start, end, who, wanted each once, of"),
        ("device,start,end\nd,yesterday,2026-11-02\n", "line 2: found start 'yesterday', wanted a time such as"),
        ("device,start,end\nd,2026-11-03,2026-11-02\n", "line 2: found end 2026-11-02 00:00Z, wanted one after start"),
        ("device,start,end\n,2026-11-01,2026-11-02\n", "line 2: found no device, wanted a device id"),
        ("device,start,end\nd,2026-11-01\n", "line 2: found 2 cells, wanted 3"),
    ],
)
def test_a_wrong_label_is_named_with_its_line(tmp_path, text, message):
    path = tmp_path / "incidents.csv"
    path.write_text(text)

    with pytest.raises(IncidentError) as refused:
        read_incidents(path)

    assert message in str(refused.value)


def test_a_file_without_incidents_and_one_that_is_none_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("device,start,end\n")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00\x01")

    with pytest.raises(BacktestError, match="found no incident, wanted at least one"):
        read_incidents(tmp_path / "a.csv")
    with pytest.raises(BacktestError, match="wanted incidents, CSV"):
        read_incidents(tmp_path / "b.csv")
    with pytest.raises(BacktestError, match="wanted incidents, CSV"):
        read_incidents(tmp_path / "gone.csv")


def test_unknown_devices_in_labels_are_named():
    with pytest.raises(BacktestError, match=r"found 1 unknown device \('d-9'\), wanted some of the 2 .* \(d-1, d-2"):
        known_devices_only([incident("d-1"), incident("d-9")], ["d-1", "d-2"], "incidents.csv")


def test_differences_are_told_by_what_happened():
    then = [story("d-1", 10), story("d-2", 10), story("d-3", 10), story("d-4", 10, opened=3), story("d-6", 11)]
    # Opened at another time is no news, if it fired when it did.
    then += [story("d-7", 12)]
    now = [story("d-1", 10), story("d-2", 10.5), story("d-4", 14, opened=3), story("d-5", 11)]
    now += [story("d-6", 11, kind="shape_change", opened=1), story("d-7", 12, opened=9)]
    now[2].alert_id = then[3].alert_id

    found = compare(then, now)

    assert [(one.what, one.subject) for one in found] == [
        ("other time", "d-2"), ("only then", "d-3"), ("other time", "d-4"), ("only now", "d-5"),
        ("other kind", "d-6"),
    ]  # fmt: skip
    assert found[-1].kind == "mean_shift → shape_change"
    assert compare(then, then) == []
