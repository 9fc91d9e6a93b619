"""What was seen is remembered exactly, in whatever order it came."""

from hypothesis import given
from hypothesis import strategies as st

from streams.drift.seen import MOST_BOOTS, MOST_HOLES, Seen


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30)), max_size=120))
def test_a_window_is_new_exactly_once(arrivals):
    seen, known = Seen(), set()

    for boot, seq in arrivals:
        assert seen.admit("d", boot, seq) == ((boot, seq) not in known)
        known.add((boot, seq))

    told = {
        (boot, seq)
        for boot, flat in seen.intervals("d").items()
        for first, end in zip(flat[::2], flat[1::2], strict=True)
        for seq in range(first, end)
    }
    assert told == known


@given(st.lists(st.integers(0, 40), max_size=80))
def test_intervals_are_as_few_as_can_be(arrivals):
    seen = Seen()
    for seq in arrivals:
        seen.admit("d", "b", seq)

    flat = seen.intervals("d").get("b", [])

    assert flat == sorted(set(flat))


def test_devices_and_boots_do_not_mix():
    seen = Seen()

    assert seen.admit("d", "b", 0)
    assert seen.admit("d", "c", 0)
    assert seen.admit("e", "b", 0)


def test_holes_are_bounded_by_closing_the_oldest():
    seen = Seen()
    for seq in range(0, 4 * MOST_HOLES, 2):
        seen.admit("d", "b", seq)

    assert len(seen.intervals("d")["b"]) <= 2 * (MOST_HOLES + 1)
    assert not seen.admit("d", "b", 1)
    assert seen.admit("d", "b", 4 * MOST_HOLES - 5)


def test_boots_are_bounded_by_forgetting_the_oldest():
    seen = Seen()
    for boot in range(MOST_BOOTS + 1):
        seen.admit("d", str(boot), 0)

    assert len(seen.intervals("d")) == MOST_BOOTS
    assert "0" not in seen.intervals("d")


def test_thawing_gives_back_what_was_frozen():
    seen, again = Seen(), Seen()
    for seq in (0, 1, 5):
        seen.admit("d", "b", seq)

    again.thaw(seen.freeze())

    assert not again.admit("d", "b", 5)
    assert again.admit("d", "b", 2)
    # The first one is not touched by that.
    assert seen.admit("d", "b", 2)
