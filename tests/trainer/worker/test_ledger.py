"""Each rule of the ledger."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.training import TrainingCause, TrainingRequest
from trainer.worker.ledger import (
    AttemptFailed,
    AttemptStarted,
    Decided,
    Idle,
    Ledger,
    RequestFiled,
    Settle,
    Settled,
    Train,
    TrainingPolicy,
    fold,
    next_step,
)

POLICY = TrainingPolicy(cool_down_ms=1_000, max_attempts=3, backoff_ms=100)


def request(name: str = "r1", model: str = "bearing", cause: TrainingCause = TrainingCause.DRIFT, at: int = 1, **more):
    return TrainingRequest(
        request_id=name,
        model=model,
        pipeline="machine/1",
        cause=cause,
        reason="",
        requested_ms=at,
        requested_by="desk",
        data_from_ms=0,
        data_to_ms=1,
        **more,
    )


def ledger(*facts) -> Ledger:
    known = Ledger()
    for fact in facts:
        known = fold(known, fact)
    return known


def step(*facts, now_ms: int = 10_000, policy: TrainingPolicy = POLICY):
    return next_step(ledger(*facts), policy, now_ms=now_ms)


def test_a_request_is_trained():
    assert step(RequestFiled(request())) == Train(request(), 1)


def test_without_requests_there_is_nothing_to_do():
    assert step() == Idle(None)


@pytest.mark.parametrize("how", ["finished", "failed", "cancelled", "superseded"])
def test_a_settled_request_is_never_trained_again(how):
    filed = RequestFiled(request())

    assert step(filed, Settled("r1", how, "bearing", 5), filed) == Idle(None)


def test_a_repeated_request_is_one_request():
    altered = RequestFiled(replace(request(), model="other"))

    assert step(RequestFiled(request()), altered) == Train(request(), 1)


def test_a_request_that_needs_approval_waits_and_holds_up_nobody():
    waiting = RequestFiled(request(needs_approval=True))
    other = RequestFiled(request("r2", "pump", at=9))

    assert step(waiting) == Idle(None)
    assert step(waiting, other) == Train(other.request, 1)
    assert step(waiting, Decided("r1", approved=True, by="ann")) == Train(waiting.request, 1)


def test_a_policy_can_want_approval_by_cause():
    careful = replace(POLICY, approve=frozenset({TrainingCause.DRIFT}))

    assert step(RequestFiled(request()), policy=careful) == Idle(None)
    assert step(RequestFiled(request(cause=TrainingCause.LABELS)), policy=careful).request.cause is TrainingCause.LABELS


def test_a_model_rests_after_a_training_unless_a_person_asks():
    done = Settled("r0", "finished", "bearing", 9_500)

    assert step(done, RequestFiled(request())) == Idle(10_500)
    assert step(done, RequestFiled(request()), now_ms=10_500) == Train(request(), 1)
    assert step(done, RequestFiled(request(cause=TrainingCause.PERSON))).attempt == 1
    assert step(done, RequestFiled(request(model="pump"))).attempt == 1


def test_a_failed_training_is_no_reason_to_rest():
    assert step(Settled("r0", "failed", "bearing", 9_999), RequestFiled(request())).attempt == 1


def test_only_the_newest_of_the_machines_requests_is_worth_training():
    old, new = request("r1", at=1), request("r2", at=2)

    assert step(RequestFiled(old), RequestFiled(new)) == Settle(old, "superseded", "superseded by request r2")


def test_a_persons_request_is_not_superseded_and_goes_first():
    person, machine = request("r1", cause=TrainingCause.PERSON, at=5), request("r2", at=1)

    assert step(RequestFiled(machine), RequestFiled(person)) == Train(person, 1)


def test_a_failed_attempt_is_tried_later_each_time():
    facts = [RequestFiled(request()), AttemptStarted("r1", 1), AttemptFailed("r1", 1, 9_950)]
    assert step(*facts) == Idle(10_050)
    assert step(*facts, now_ms=10_050) == Train(request(), 2)

    facts += [AttemptStarted("r1", 2), AttemptFailed("r1", 2, 20_000)]
    assert step(*facts, now_ms=20_000) == Idle(20_200)


def test_an_attempt_that_was_killed_counts():
    facts = [RequestFiled(request()), *(AttemptStarted("r1", number) for number in (1, 2))]
    assert step(*facts) == Train(request(), 3)

    given_up = step(*facts, AttemptStarted("r1", 3))
    assert given_up == Settle(request(), "failed", "given up after 3 attempts")


def test_a_cancelled_request_is_settled():
    assert step(RequestFiled(request()), Decided("r1", approved=False, by="ann")) == Settle(
        request(), "cancelled", "cancelled by ann"
    )


FACTS = st.lists(
    st.one_of(
        st.builds(
            lambda n, m, t, c: RequestFiled(request(f"r{n}", m, c, t)),
            st.integers(1, 3),
            st.sampled_from(["bearing", "pump"]),
            st.integers(1, 5),
            st.sampled_from([TrainingCause.DRIFT, TrainingCause.PERSON]),
        ),
        st.builds(lambda n, a: Decided(f"r{n}", a, "ann"), st.integers(1, 3), st.booleans()),
        st.builds(lambda n, a: AttemptStarted(f"r{n}", a), st.integers(1, 3), st.integers(1, 4)),
        st.builds(
            lambda n, a, t: AttemptFailed(f"r{n}", a, t), st.integers(1, 3), st.integers(1, 4), st.integers(0, 99)
        ),
        st.builds(lambda n, t: Settled(f"r{n}", "finished", "bearing", t), st.integers(1, 3), st.integers(0, 99)),
    ),
    max_size=12,
    unique_by=lambda fact: (type(fact), fact.request.request_id) if isinstance(fact, RequestFiled) else id(fact),
)


@given(facts=FACTS, data=st.data())
def test_the_order_and_number_of_facts_do_not_matter(facts, data):
    repeated = data.draw(st.lists(st.sampled_from(facts), max_size=3)) if facts else []
    shuffled = data.draw(st.permutations(facts + repeated))

    assert step(*facts) == step(*shuffled)


@given(facts=FACTS)
def test_the_steps_come_to_an_end(facts):
    known, now_ms = ledger(*facts), 0

    for _ in range(100):
        todo = next_step(known, POLICY, now_ms=now_ms)
        match todo:
            case Idle(None):
                return
            case Idle(until):
                assert until > now_ms
                now_ms = until
            case Settle(asked, how, _):
                known = fold(known, Settled(asked.request_id, how, asked.model, now_ms))
            case Train(asked, attempt):
                assert not known.entries[asked.request_id].settled
                assert attempt <= POLICY.max_attempts
                known = fold(known, AttemptStarted(asked.request_id, attempt))
                known = fold(known, AttemptFailed(asked.request_id, attempt, now_ms))
    pytest.fail("it never ends")
