"""What is said to go on as it was goes on as it was."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.drift_alert import Evidence, Severity
from streams.backtest.steady import same_until_ms
from streams.drift.alerts import AlertBook
from streams.drift.observed import Breach, Observation, Shown
from streams.drift.policy import Life

MINUTE_MS = 60_000
SHOWN = Shown(kind="mean_shift", evidence=Evidence(scores={}, samples=0, reference="", horizon_ms=0))
LIFE = Life(breaches=2, of_windows=3, resolve_after_windows=2, flap_ms=4 * MINUTE_MS, escalate_after_ms=9 * MINUTE_MS)
SEVERITIES = (Severity.LOW, Severity.MEDIUM, Severity.HIGH)


def seen(at_ms, breaches, unknown=()):
    return Observation(
        subject="d-0", model_id="pump/1", at_ms=at_ms, unknown=frozenset(unknown),
        breaches=tuple(
            Breach(feature=feature, family="values", severity=severity, closer=lambda: SHOWN)
            for feature, severity in breaches.items()
        ),
    )  # fmt: skip


def shown():
    breaches = st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(SEVERITIES))
    return st.tuples(breaches, st.integers(1, 8), st.sets(st.sampled_from(["a", "b"])))


@given(parts=st.lists(shown(), min_size=1, max_size=6))
def test_what_shows_the_same_before_the_time_said_changes_nothing(parts):
    book, at_ms = AlertBook(), 1_000 * MINUTE_MS
    for breaches, times, unknown in parts:
        for _ in range(times):
            at_ms += MINUTE_MS
            book.observe(seen(at_ms, breaches, set(unknown) - breaches.keys()), LIFE)
        until_ms = same_until_ms(book, seen(at_ms, breaches), LIFE)
        before = dict(book.live.get("d-0", {}))

        while at_ms + MINUTE_MS < min(until_ms, 1_060 * MINUTE_MS):
            at_ms += MINUTE_MS
            milder = dict.fromkeys(breaches, Severity.LOW)
            assert book.observe(seen(at_ms, milder, unknown), LIFE) == []
            assert book.live.get("d-0", {}) == before


def test_an_alert_that_fires_on_is_not_asked_of_until_it_grows_old():
    book, breaches = AlertBook(), {"a": Severity.HIGH}
    for minute in range(3):
        book.observe(seen(minute * MINUTE_MS, breaches), LIFE)

    assert same_until_ms(book, seen(2 * MINUTE_MS, breaches), LIFE) == LIFE.escalate_after_ms
    assert same_until_ms(book, seen(2 * MINUTE_MS, {}), LIFE) == 0
