import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DriftlineError
from streams.rollouts.cohort import CohortError, Traits, parse_cohort, version_order

PUMP = Traits(
    "pump-7",
    {"region": "us-east", "hw": "rev2", "firmware": "2.10", "site id": "x"},
    groups=("lab", "night"),
    model="bearings/3",
)


@pytest.mark.parametrize(
    ("expression", "taken"),
    [
        ('region == "us-east" and hw in ["rev2", "rev3"] and firmware >= "2.4"', True),
        ("region:us-east AND hw:rev2", True),
        ("region:us-west AND hw:rev2", False),
        ("region:us-west OR hw:rev2", True),
        ("region:us-west or region:eu and hw:rev2", False),
        ("(region:us-west or region:us-east) and hw:rev2", True),
        ("not hw:rev2", False),
        ("not (hw:rev3 or hw:rev4)", True),
        ("hw not in [rev3, 'rev4']", True),
        ("hw not in [rev2]", False),
        ("firmware > 2.9", True),
        ("firmware < 2.9", False),
        ("firmware <= 2.10", True),
        ("firmware != 2.10", False),
        ("colour:red", False),
        ("colour != red", True),
        ("colour not in [red]", True),
        ("colour > 1", False),
        ("colour < 1", False),
        ("group:lab", True),
        ("group:day", False),
        ("group in [day, night]", True),
        ("group != lab", False),
        ("device_id == pump-7", True),
        ("model == bearings/3", True),
        ("all", True),
        ("not all", False),
        ("all and hw:rev3", False),
        (r'hw == "re\v2"', True),
    ],
)
def test_an_expression_takes_the_devices_it_describes(expression, taken):
    assert parse_cohort(expression).takes(PUMP) is taken


def test_a_plain_list_names_its_devices():
    cohort = parse_cohort(["pump-7", "pump-9"])

    assert cohort.takes(PUMP)
    assert not cohort.takes(Traits("pump-8"))


@pytest.mark.parametrize(
    ("expression", "column", "wanted"),
    [
        ("", 1, "a label, 'not' or '('"),
        ("region ==", 10, "a value"),
        ("region = = x", 10, "a value"),
        ("region us-east", 8, "':', '=='"),
        ("region:us-east hw:rev2", 16, "'and', 'or' or the end"),
        ('region == "us-east', 11, "a closing quote"),
        ("hw in rev2", 7, "'['"),
        ("hw in [rev2", 12, "']'"),
        ("hw in []", 8, "a value"),
        ("(hw:rev2", 9, "')'"),
        ("hw:rev2 and", 12, "a label, 'not' or '('"),
        ("hw:rev2 & a:b", 9, "a label, a value or an operator"),
        ("and:x", 1, "a label, 'not' or '('"),
        ("(" * 60 + "all" + ")" * 60, 51, "at most 50 levels"),
        ("not " * 60 + "all", 201, "at most 50 levels"),
        ("x" * 10_001, 10_001, "at most 10000"),
    ],
)
def test_an_error_points_at_the_column(expression, column, wanted):
    with pytest.raises(CohortError) as refused:
        parse_cohort(expression)

    assert refused.value.column == column
    assert wanted in str(refused.value)
    assert refused.value.args[0].splitlines()[0].startswith(f"cohort, column {column}: found ")


def test_the_caret_stands_below_the_place():
    with pytest.raises(CohortError) as refused:
        parse_cohort("region == us-east && hw:rev2")

    _, shown, caret = str(refused.value).splitlines()
    assert shown[caret.index("^")] == "&"


def test_versions_sort_as_people_number_them():
    shuffled = ["2.10", "rev10", "2.4", "2.4.1", "rev2", "2.4-rc1", "10"]

    assert sorted(shuffled, key=version_order) == ["rev2", "rev10", "2.4-rc1", "2.4", "2.4.1", "2.10", "10"]


@given(st.text(max_size=60) | st.text(alphabet="ab:=<>!()[],\"' \\andortin", max_size=40))
def test_any_text_is_read_or_refused_with_its_place(text):
    try:
        cohort = parse_cohort(text)
    except DriftlineError as refused:
        assert 1 <= refused.column <= len(text) + 1  # noqa: PT017
    else:
        assert isinstance(cohort.takes(PUMP), bool)
