"""Times as people and instruments write them."""

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensing.errors import ReadingError
from sensing.moments import moment_ms, moments_ms

# From 1980 to 2200.
MOMENTS = st.integers(315_532_800_000, 7_258_118_400_000).map(lambda at_ms: datetime.fromtimestamp(at_ms / 1000, UTC))


@given(st.lists(MOMENTS, min_size=1, max_size=20))
def test_however_a_column_is_written_it_says_when_the_rows_were(moments):
    at_ms = [round(moment.timestamp() * 1000) for moment in moments]

    naive = [moment.replace(tzinfo=None) for moment in moments]
    for column in (
        at_ms,
        [each / 1000 for each in at_ms],
        [each * 1000 for each in at_ms],
        [each * 1_000_000 for each in at_ms],
        [str(each) for each in at_ms],
        naive,
        np.array(naive, "datetime64[us]"),
        [moment.isoformat() for moment in naive],
        [moment.astimezone(timezone(timedelta(hours=5))).isoformat() for moment in moments],
    ):
        # Seconds and nanoseconds are rounded, by what a float holds.
        np.testing.assert_allclose(moments_ms(column), at_ms, rtol=0, atol=1)
        if isinstance(column, list):
            assert [moment_ms(each) for each in column] == pytest.approx(at_ms, abs=1)


def test_a_date_and_a_time_of_day_are_one():
    found = moments_ms(["10/03/2004", "11/03/2004"], ["18.00", "19.30"], written="%d/%m/%Y %H.%M")

    assert [str(each) for each in found.astype("datetime64[ms]")] == [
        "2004-03-10T18:00:00.000",
        "2004-03-11T19:30:00.000",
    ]
    assert moments_ms([date(2004, 3, 10)]) == [1_078_876_800_000]


def test_small_numbers_count_from_a_start_of_their_own():
    assert moments_ms([0, 1, 2.5], small=1000).tolist() == [0, 1000, 2500]
    assert moments_ms(["0", "7"], small=1).tolist() == [0, 7]
    with pytest.raises(ReadingError, match=r"row 1: the time is 38056\.75"):
        moments_ms([38056.75])


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ([1_767_571_200, None], "row 2: the time is None"),
        ([1_767_571_200, float("inf")], "row 2: the time is inf"),
        ([1_767_571_200, -1], "row 2: the time is -1"),
        ([10**400], "row 1: the time is 1000"),
        (["2026-01-05", ""], "row 2: the time is ''; wanted: ISO 8601"),
        (np.array(["2026-01-05", "NaT"], "datetime64[D]"), "row 2: the time is None"),
        ([True], "row 1: the time is True"),
        ([[1], [2]], "the time is"),
        ([datetime(1960, 1, 1, tzinfo=UTC)], "between 1970 and 9999"),
    ],
)
def test_what_is_no_time_is_named(column, said):
    with pytest.raises(ReadingError, match=said):
        moments_ms(column)
