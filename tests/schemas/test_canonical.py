"""Equal content has equal bytes, whoever writes it."""

import math
import subprocess
from dataclasses import replace

import pytest

from schemas.canonical import canonical_json, content_id, content_id_of_plain, with_content_id
from schemas.errors import SchemaError
from schemas.grid import FeatureGrid, FeatureKind, Grid
from schemas.record import as_plain

GRID = Grid(
    grid_id="",
    pipeline="machine/1",
    bins=3,
    features=(FeatureGrid(name="temperature", kind=FeatureKind.NUMERIC, edges=(20.0, 21.5)),),
)


def test_an_id_covers_everything_but_itself():
    named = with_content_id(GRID)

    assert content_id(named) == named.grid_id
    assert content_id(replace(named, bins=4)) != named.grid_id


def test_an_id_is_what_sha256sum_says():
    text = (
        '{"bins":3,"features":[{"categories":[],"edges":[20,21.5],"high":null,"kind":"numeric","low":null,'
        '"name":"temperature"}],"pipeline":"machine/1"}'
    )
    printed = subprocess.run(["sha256sum"], input=text.encode(), capture_output=True, check=True).stdout.decode()

    assert content_id(GRID) == printed.split()[0]


def test_a_text_that_came_later_is_part_of_an_id_only_where_it_says_something():
    before = {name: value for name, value in as_plain(GRID).items() if name != "declaration"}

    assert content_id_of_plain(Grid, before) == content_id_of_plain(Grid, as_plain(GRID)) == content_id(GRID)
    assert content_id(replace(GRID, declaration="{}")) != content_id(GRID)


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**53 + 1, b"bytes", {1: 2}, "\ud800"])
def test_what_json_cannot_say_is_refused(value):
    with pytest.raises(SchemaError, match="no canonical JSON"):
        canonical_json({"value": value})
