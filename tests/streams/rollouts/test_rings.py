import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.rollouts.rings import NO_STAGE, assign_stages, ring_position

MANY = np.array([ring_position("salt", f"device-{number}") for number in range(5_000)])


def stages_of(positions, shares, **options):
    options = {"min_devices": [0] * len(shares), **options}
    return assign_stages(np.array(positions), shares, [None] * len(shares), **options)


@given(st.text(max_size=100), st.text(max_size=100))
def test_a_place_on_the_ring_is_within_it_and_stays(salt, device_id):
    place = ring_position(salt, device_id)

    assert 0 <= place < 1
    assert place == ring_position(salt, device_id)


def test_places_are_spread_evenly():
    counts, _ = np.histogram(MANY, bins=10, range=(0, 1))

    # 500 each; six standard deviations are 127.
    assert abs(counts - 500).max() < 127


def test_another_salt_is_another_order():
    other = np.array([ring_position("pepper", f"device-{number}") for number in range(5_000)])

    assert abs(np.corrcoef(MANY, other)[0, 1]) < 0.06


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6, unique=True).map(sorted))
def test_a_device_is_in_the_first_stage_whose_share_holds_it(shares):
    stages = stages_of(MANY[:200], shares)

    for place, stage in zip(MANY[:200], stages, strict=True):
        assert stage == next((number for number, share in enumerate(shares) if place < share), NO_STAGE)


@given(st.floats(0, 1), st.floats(0, 1))
def test_stages_nest_whatever_the_shares(one, other):
    small, large = sorted((one, other))

    taken = [set(np.flatnonzero(stages_of(MANY[:300], [share]) == 0)) for share in (small, large)]

    assert taken[0] <= taken[1]


@pytest.mark.parametrize(("minimum", "taken"), [(0, 0), (1, 1), (3, 3), (99, 5)])
def test_a_small_stage_is_widened_by_those_next_on_the_ring(minimum, taken):
    positions = [0.9, 0.5, 0.7, 0.6, 0.8]

    stages = stages_of(positions, [0.01, 1.0], min_devices=[minimum, 0])

    assert sorted(np.array(positions)[stages == 0]) == sorted(positions)[:taken]


def test_earlier_stages_count_for_the_minimum():
    stages = stages_of([0.005, 0.5, 0.6], [0.01, 0.02, 1.0], min_devices=[0, 2, 0])

    assert stages.tolist() == [0, 1, 2]


def test_every_stratum_is_represented_in_the_first_stage():
    strata = np.array([0] * 4_990 + [1] * 10)

    stages = stages_of(MANY, [0.01, 1.0], strata=strata)

    assert set(strata[stages == 0]) == {0, 1}
    assert MANY[(stages == 0) & (strata == 1)].min() == MANY[strata == 1].min()


def test_a_named_ring_takes_whom_it_names():
    positions = np.array([0.1, 0.9, 0.2])
    lab = np.array([False, True, False])

    stages = assign_stages(positions, [None, 0.15, 1.0], [lab, None, None], min_devices=[0, 0, 0])

    assert stages.tolist() == [1, 0, 2]


def test_who_no_stage_takes_is_in_none():
    assert stages_of([0.4, 0.6], [0.5]).tolist() == [0, NO_STAGE]
