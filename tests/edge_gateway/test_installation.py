"""The machine's promises, on tables and on random histories."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_gateway.events import (
    Accepted,
    BakePassed,
    Booted,
    Failed,
    Fetched,
    FetchStarted,
    Installed,
    Order,
    Postponed,
    RanWell,
    Recovered,
    Refused,
    RolledBackByHand,
    SafeModeOff,
    SafeModeOn,
    Spoken,
    Switched,
    WentBad,
)
from edge_gateway.installation import FINAL, Content, Installation, SafeModeReason, decide
from edge_gateway.slots import _decoded, _encoded
from schemas.fleet import SlotState
from schemas.rollouts import AckPhase

ROAD = (FetchStarted(), Fetched(), Installed(), Switched(), BakePassed())


def order(revision: int, model: str = "", **settings: str) -> Order:
    model = model or f"m/{revision}"
    return Order(
        revision=revision, rollout_id=f"r{revision}", model_id=model, sha256=model, size=1, url="file:///x",
        settings=settings,
    )  # fmt: skip


def after(*events, state=None) -> Installation:
    state = state or Installation()
    for event in events:
        state = decide(state, event)
    return state


def phases(state: Installation, revision: int) -> list[str]:
    return [said.phase.value for said in state.to_say if said.revision == revision]


ONE = after(Accepted(order(1)), *ROAD)
TWO = after(Accepted(order(2)), *ROAD, state=ONE)


def test_the_road_of_a_command():
    assert phases(ONE, 1) == ["received", "downloading", "installed", "trial", "succeeded"]
    assert (ONE.active, ONE.model_id) == ("A", "m/1")


def test_a_newer_command_in_mid_download_supersedes():
    state = after(Accepted(order(3)), FetchStarted(), Accepted(order(4)), state=TWO)

    assert phases(state, 3) == ["received", "downloading", "superseded"]
    assert phases(state, 4) == ["received"]
    assert state.model_id == "m/2"


def test_a_newer_command_on_trial_takes_the_trial_back():
    trial = after(Accepted(order(3)), *ROAD[:4], state=TWO)

    state = after(Accepted(order(4)), state=trial)

    assert phases(state, 3)[-1] == "superseded"
    assert state.model_id == "m/2"
    assert state.target == trial.active


def test_an_abort_in_mid_switch_reverts_at_once_to_what_ran():
    trial = after(Accepted(order(3)), *ROAD[:4], state=TWO)

    state = after(Accepted(order(4, "m/2")), state=trial)

    assert phases(state, 4) == ["received", "succeeded"]
    assert state.model_id == "m/2"


def test_the_same_model_under_a_newer_command_stays_on_trial():
    trial = after(Accepted(order(3)), *ROAD[:4], state=TWO)

    state = after(Accepted(order(4, "m/3")), BakePassed(), state=trial)

    assert phases(state, 4) == ["received", "trial", "succeeded"]


def test_a_model_that_went_bad_after_its_commit_takes_the_success_back():
    state = after(WentBad("slow"), state=TWO)

    assert phases(state, 2)[-2:] == ["succeeded", "fell_back"]
    assert state.model_id == "m/1"
    assert state.slots["B"].state is SlotState.BAD


def test_with_no_slot_left_the_rules_decide_until_the_model_is_well():
    state = after(WentBad("slow"), WentBad("slow"), state=TWO)

    assert (state.active, state.safe_mode, state.suspended) == ("", SafeModeReason.HEALTH, "A")
    assert after(Recovered(), state=state).model_id == "m/1"


def test_a_first_model_that_fails_its_bake_leaves_the_rules():
    state = after(Accepted(order(1)), *ROAD[:4], WentBad("slow"))

    assert (state.active, state.safe_mode) == ("", SafeModeReason.HEALTH)
    assert phases(state, 1)[-1] == "fell_back"
    assert after(Recovered(), state=state) == state


def test_a_bundle_that_crashes_the_gateway_three_times_is_abandoned():
    trial = after(Accepted(order(2)), *ROAD[:4], state=ONE)

    three = after(*[Booted(3)] * 3, state=trial)
    four = after(Booted(3), state=three)

    assert three.model_id == "m/2"
    assert four.model_id == "m/1"
    assert phases(four, 2)[-1] == "fell_back"


def test_a_start_that_lasted_clears_the_count():
    trial = after(Accepted(order(2)), *ROAD[:4], state=ONE)

    assert after(*[Booted(3), RanWell()] * 9, Booted(3), state=trial).model_id == "m/2"


def test_safe_mode_by_hand_is_left_by_hand_only():
    state = after(SafeModeOn(), Recovered(), state=TWO)

    assert (state.active, state.safe_mode) == ("", SafeModeReason.OPERATOR)
    assert after(SafeModeOff(), state=state).model_id == "m/2"


def test_safe_mode_before_any_model_is_left_into_nothing():
    assert after(SafeModeOn(), SafeModeOff()) == Installation()


def test_a_revision_is_never_used_for_two_bundles():
    state = after(Accepted(order(2, "m/other")), state=TWO)

    assert phases(state, 2)[-1] == "refused"
    assert state.model_id == "m/2"


def test_waiting_is_said_once_for_each_reason():
    state = after(Accepted(order(3)), Postponed("a"), Postponed("a"), Postponed("b"), state=TWO)

    assert phases(state, 3) == ["received", "postponed", "postponed"]


def test_a_model_for_later_waits_in_its_slot_until_a_newer_command_switches_it_on():
    waiting = after(Accepted(order(2, activate="later")), *ROAD, Booted(3), Switched(), RanWell(), state=ONE)

    switched = after(Accepted(order(3, "m/2")), Switched(), BakePassed(), state=waiting)

    assert phases(waiting, 2) == ["received", "downloading", "installed"]
    assert (waiting.model_id, waiting.slots["B"].state) == ("m/1", SlotState.INSTALLED)
    # Nothing is fetched again.
    assert phases(switched, 3) == ["received", "installed", "trial", "succeeded"]
    assert (switched.model_id, switched.fallback) == ("m/2", "A")


def test_a_model_for_later_that_is_not_wanted_after_all_never_serves():
    waiting = after(Accepted(order(2, activate="later")), *ROAD, state=ONE)

    back = after(Accepted(order(3, "m/1")), Switched(), state=waiting)

    assert phases(back, 2)[-1] == "superseded"
    assert phases(back, 3) == ["received", "succeeded"]
    assert back.model_id == "m/1"


def test_a_proven_model_waits_as_well_when_it_is_told_to():
    waiting = after(Accepted(order(3, "m/1", activate="later")), Switched(), state=TWO)

    assert phases(waiting, 3) == ["received", "installed"]
    assert (waiting.model_id, waiting.fallback) == ("m/2", "A")


EVENTS = st.one_of(
    st.builds(
        lambda revision, model, settings: Accepted(order(revision, model, **settings)),
        st.integers(1, 6),
        st.sampled_from(["", "m/1", "m/2"]),
        st.sampled_from([{}, {"activate": "later"}]),
    ),
    st.sampled_from(
        [
            Postponed("later"),
            FetchStarted(),
            Fetched(),
            Installed(),
            Refused("no"),
            Failed("no"),
            Switched(),
            BakePassed(),
            WentBad("slow"),
            Recovered(),
            Booted(3),
            RanWell(),
            SafeModeOn(),
            SafeModeOff(),
            RolledBackByHand("me"),
            Spoken(3),
        ]
    ),
)


@settings(max_examples=300, deadline=None)
@given(events=st.lists(EVENTS, max_size=40))
def test_in_any_history(events):
    state, said = Installation(), []
    for event in events:
        before, state = state, decide(state, event)
        said += [each for each in state.to_say if each.number > before.said]

        # What serves is a whole model, proven or on trial, and never what is being written to.
        assert state.active in ("", "A", "B")
        if state.active:
            assert state.serving.state in (SlotState.STABLE, SlotState.TRIAL)
            assert state.target != state.active
        if state.suspended:
            assert state.target != state.suspended
            assert not state.active
        # The slot that serves changes its content only by what is known of it.
        if before.active and before.active == state.active and not isinstance(event, Accepted):
            assert before.serving.sha256 == state.serving.sha256
        # On disk and back, it is the same.
        assert _decoded(_encoded(state)) == state

    for revision in {each.revision for each in said}:
        road = [each.phase for each in said if each.revision == revision and each.phase is not AckPhase.REFUSED]
        ended = next((place for place, phase in enumerate(road) if phase in FINAL), len(road))
        allowed = {AckPhase.FELL_BACK, road[ended] if ended < len(road) else None}
        assert set(road[ended:]) <= allowed, [each.phase.value for each in said if each.revision == revision]


@pytest.mark.parametrize("event", [FetchStarted(), Fetched(), Installed(), Switched(), BakePassed(), Recovered()])
def test_what_does_not_fit_the_moment_changes_nothing(event):
    assert decide(ONE, event) == ONE


def test_the_slot_to_fall_back_to_is_not_written_before_the_new_bundle_is_whole():
    state = after(Accepted(order(3)), FetchStarted(), state=TWO)

    assert state.slots["A"] == Content(state=SlotState.STABLE, model_id="m/1", sha256="m/1")
