from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.chain import Chain


def test_the_front_stands_where_reading_began_until_something_is_done():
    chain = Chain(10)

    chain.add(10, 14)

    assert chain.front == 10


def test_a_run_done_early_waits_for_the_one_before_it():
    chain = Chain(0)
    first, second = chain.add(0, 5), chain.add(5, 9)

    chain.finish(second)
    waiting = chain.front
    chain.finish(first)

    assert (waiting, chain.front) == (0, 9)


def test_what_is_worked_on_makes_room_and_is_not_done():
    chain = Chain(0)
    first, _ = chain.add(0, 5), chain.add(5, 9)

    first.worked = True

    assert (chain.unworked, chain.unfinished, chain.front) == (1, 2, 0)


def test_a_break_is_refused():
    chain = Chain(0)
    chain.add(0, 5)

    with pytest.raises(ValueError, match=r"7\.\.9 does not follow 5"):
        chain.add(7, 9)


def test_a_chain_that_is_over_never_moves_again():
    chain = Chain(0)
    link = chain.add(0, 5)
    chain.over = True

    chain.finish(link)

    assert chain.front == 0
    with pytest.raises(ValueError, match="over"):
        chain.add(5, 6)


def test_a_link_of_another_chain_moves_nothing():
    old, new = Chain(0), Chain(0)
    stale = old.add(0, 5)
    new.add(0, 5)

    new.finish(stale)

    assert new.front == 0


def test_a_quiet_stretch_is_done_with_what_precedes_it():
    chain = Chain(0)
    link = chain.add(0, 5)
    chain.pass_over(5, 8)

    before = chain.front
    chain.finish(link)

    assert (before, chain.front) == (0, 8)


def test_a_run_covers_the_quiet_stretch_before_it():
    chain = Chain(0)
    chain.add(0, 5)
    chain.pass_over(5, 8)

    assert chain.add(8, 10).start == 5


def test_what_was_lost_is_not_quiet():
    chain = Chain(0)
    chain.pass_over(0, 100, lost=True)

    assert chain.add(100, 110).start == 100


STEPS = st.lists(st.tuples(st.sampled_from(["run", "quiet"]), st.integers(1, 5)), max_size=20)


@given(steps=STEPS, order=st.randoms(use_true_random=False))
def test_the_front_never_passes_an_unfinished_run(steps: Sequence[tuple[str, int]], order):
    chain = Chain(0)
    links = []
    for kind, length in steps:
        if kind == "run":
            links.append((chain.tip, chain.add(chain.tip, chain.tip + length)))
        else:
            chain.pass_over(chain.tip, chain.tip + length)
    waiting = list(links)
    order.shuffle(waiting)

    while waiting:
        assert chain.front <= min(first for first, _ in waiting)
        chain.finish(waiting.pop()[1])

    assert chain.front == chain.tip == sum(length for _, length in steps)
    assert chain.unfinished == 0
