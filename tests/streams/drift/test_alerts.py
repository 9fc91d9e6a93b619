"""The life of an alert, rule by rule."""

from dataclasses import replace

import pytest

from schemas.drift_alert import AlertState, Evidence, Severity
from streams.drift.alerts import AlertBook
from streams.drift.observed import Breach, Observation, Shown
from streams.drift.policy import Life
from streams.drift.silences import Silence

MINUTE_MS = 60_000
PATIENT = Life(breaches=2, of_windows=3, resolve_after_windows=3, flap_ms=10 * MINUTE_MS)
QUICK = Life(breaches=1, of_windows=3, resolve_after_windows=2, flap_ms=10 * MINUTE_MS)


def breach(severity=Severity.HIGH, *, feature="heat", kind="mean_shift", family="values"):
    evidence = Evidence(scores={"psi": 0.3}, samples=600, reference="b", horizon_ms=900_000)
    return Breach(
        feature=feature, family=family, severity=severity, closer=lambda: Shown(kind=kind, evidence=evidence)
    )  # fmt: skip


class Story:
    """A book that is told windows, a minute apart."""

    def __init__(self, life=QUICK):
        self.book, self.life, self.minute = AlertBook(policy_id="p", policy_revision=3), life, 0

    def window(self, *breaches, unknown=(), after=1, **more):
        self.minute += after
        seen = Observation(
            subject="d-1", model_id="pump/1", at_ms=self.minute * MINUTE_MS, breaches=breaches,
            unknown=frozenset(unknown), labels={"region": "eu"}, **more,
        )  # fmt: skip
        return self.book.observe(seen, self.life)


def states(*changes):
    return [alert.state for changed in changes for alert in changed]


def test_an_alert_waits_for_its_second_breach():
    story = Story(PATIENT)

    told = states(story.window(breach()), story.window(), story.window(breach()))

    assert told == [AlertState.PENDING, AlertState.FIRING]


def test_a_pending_alert_that_is_not_confirmed_ends():
    story = Story(PATIENT)

    told = states(story.window(breach()), story.window(), story.window(), story.window())

    assert told == [AlertState.PENDING, AlertState.RESOLVED]


def test_where_one_breach_is_enough_nothing_is_pending():
    assert states(Story().window(breach())) == [AlertState.FIRING]


def test_a_window_that_changes_nothing_tells_nothing():
    story = Story()
    story.window(breach())

    assert story.window(breach()) == []
    assert story.window() == []


def test_enough_quiet_windows_resolve_and_a_breach_starts_the_count_anew():
    story = Story()
    story.window(breach())

    told = states(story.window(), story.window(breach()), story.window(), story.window())

    assert told == [AlertState.RESOLVED]


def test_a_window_without_data_is_neither_breach_nor_quiet():
    story = Story()
    story.window(breach())

    told = [story.window(unknown=["heat"]) for _ in range(9)]

    assert states(*told) == []


def test_an_alert_keeps_its_id_through_its_life():
    story = Story()
    (opened,) = story.window(breach())

    story.window()
    (resolved,) = story.window()
    (returned,) = story.window(breach())

    assert opened.alert_id == resolved.alert_id == returned.alert_id == f"d-1/heat/mean_shift/{MINUTE_MS}"
    assert (returned.state, returned.opened_ms) == (AlertState.FIRING, MINUTE_MS)


def test_one_that_returns_takes_longer_to_resolve():
    story = Story()
    story.window(breach()), story.window(), story.window(), story.window(breach())

    told = [story.window() for _ in range(4)]

    assert [states(changed) for changed in told] == [[], [], [], [AlertState.RESOLVED]]


def test_after_a_long_quiet_it_is_another_alert():
    story = Story()
    (first,) = story.window(breach())
    story.window(), story.window()

    (second,) = story.window(breach(), after=30)

    assert second.alert_id != first.alert_id


def test_a_book_forgets_subjects_that_are_long_quiet():
    story = Story()
    story.window(breach()), story.window(), story.window()

    story.window(after=30)

    assert "d-1" not in story.book


def test_severity_rises_and_never_falls():
    story = Story()
    story.window(breach(Severity.MEDIUM))

    (risen,) = story.window(breach(Severity.CRITICAL))
    after = story.window(breach(Severity.LOW))

    assert risen.severity is Severity.CRITICAL
    assert after == []


def test_one_feature_has_one_alert_of_a_family_and_one_of_each_other():
    story = Story()

    told = story.window(breach(), breach(kind="missing_rate", family="missing_rate"), breach(feature="noise"))
    again = story.window(breach(kind="shape_change"))

    assert sorted((one.feature, one.kind) for one in told) == [
        ("heat", "mean_shift"), ("heat", "missing_rate"), ("noise", "mean_shift"),
    ]  # fmt: skip
    assert again == []


def test_acknowledging_says_who_and_lasts_through_more_breaches():
    story = Story()
    (opened,) = story.window(breach())

    acknowledged = story.book.acknowledge(opened.alert_id, "ada", 2 * MINUTE_MS)
    story.window(breach())

    assert (acknowledged.state, acknowledged.by) == (AlertState.ACKNOWLEDGED, "ada")
    assert [one.state for one in story.book.alerts()] == [AlertState.ACKNOWLEDGED]
    assert story.book.acknowledge(opened.alert_id, "bob", 3 * MINUTE_MS) is None
    assert story.book.acknowledge("no such alert", "bob", 3 * MINUTE_MS) is None


@pytest.mark.parametrize(
    ("matchers", "silenced"),
    [
        ({"subject": "d-*"}, True),
        ({"region": "eu", "feature": "heat"}, True),
        ({"region": "us"}, False),
        ({"severity": "low"}, False),
        ({"owner": "*a*"}, False),
    ],
)
def test_a_silence_covers_what_it_matches(matchers, silenced):
    story = Story()
    story.window(breach())

    changed = story.book.silence(Silence(silence_id="s", until_ms=10 * MINUTE_MS, matchers=matchers), MINUTE_MS)

    assert [one.silenced for one in changed] == ([True] if silenced else [])


def test_an_alert_that_opens_under_a_silence_is_silenced_from_the_start_until_its_end():
    story = Story()
    story.book.silence(Silence(silence_id="s", until_ms=3 * MINUTE_MS, matchers={}), 0)

    (opened,) = story.window(breach())
    (loud,) = story.window(breach(), after=5)

    assert (opened.silenced, loud.silenced) == (True, False)


def test_what_nobody_acknowledges_is_made_graver_once():
    story = Story(Life(breaches=1, escalate_after_ms=60 * MINUTE_MS))
    story.window(breach(Severity.MEDIUM))

    (escalated,) = story.window(breach(Severity.MEDIUM), after=60)
    later = story.window(breach(Severity.MEDIUM), after=600)

    assert (escalated.severity, escalated.escalated) == (Severity.HIGH, True)
    assert later == []


def test_what_somebody_cares_for_is_not_escalated():
    story = Story(Life(breaches=1, escalate_after_ms=60 * MINUTE_MS))
    (opened,) = story.window(breach())
    story.book.acknowledge(opened.alert_id, "ada", story.minute * MINUTE_MS)

    assert story.window(breach(), after=90) == []


def test_an_alert_carries_policy_labels_and_evidence():
    (alert,) = Story().window(breach())

    assert (alert.policy_id, alert.policy_revision, alert.labels) == ("p", 3, {"region": "eu"})
    assert alert.evidence.scores == {"psi": 0.3}
    assert alert.summary == "high mean shift in heat of d-1 (psi 0.3)"


def test_a_breach_that_changes_nothing_is_not_looked_at_closer():
    story, looks = Story(), []
    usual = breach()

    def closer():
        looks.append(story.minute)
        return usual.closer()

    changes = [story.window(replace(usual, closer=closer)) for _ in range(3)]

    assert [len(changed) for changed in changes] == [1, 0, 0]
    assert set(looks) == {1}
