"""Tables in text are read the way that they were meant, whoever wrote them."""

import pytest

from sensing.delimited import Dialect, dialect_of, rows_in

WRITTEN = {
    "a spreadsheet south of the Channel": (
        b"Date;Time;CO(GT);;\n10/03/2004;18.00.00;2,6;;\n11/03/2004;19.00.00;-200;;\nbroken;1\n",
        Dialect(separator=";", decimal_comma=True),
        ["10/03/2004", "18.00.00", "2.6", "", ""],
    ),
    "points with semicolons": (b"a;b\n1.5;2\n", Dialect(separator=";"), ["1.5", "2"]),
    "words with commas": (b'date,note\n2004-01-01,"a; b, c"\n', Dialect(), ["2004-01-01", "a; b, c"]),
    "one column": (b"heat\n1\n2\n", Dialect(), ["1"]),
    "one column of two words": (b"heat of oven\n1\n2\n", Dialect(), ["1"]),
    "tabs, as a program writes them": ("a\tb\n1\t2\n".encode("utf-16"), Dialect("utf-16", "\t"), ["1", "2"]),
    "runs of spaces": (b"unit  cycle s1 \n1   2  -0.0007 \n", Dialect(separator=" "), ["1", "2", "-0.0007"]),
    "degrees of an old encoding": ("T (\xb0C),w\n1,2\n".encode("cp1252"), Dialect("cp1252"), ["1", "2"]),
    "comments before the head": (b"# logger 7\n# v2\na|b\n1|2\n", Dialect(separator="|"), ["1", "2"]),
}


@pytest.mark.parametrize("written", WRITTEN)
def test_how_a_file_is_written_is_seen_from_its_beginning(tmp_path, written):
    content, dialect, first = WRITTEN[written]
    path = tmp_path / "table"
    path.write_bytes(content)

    found = dialect_of(path)
    with path.open(newline="", encoding=found.encoding) as file:
        rows = list(rows_in(file, found))

    assert found == dialect
    assert rows[1] == first


def test_the_place_where_the_look_ends_changes_nothing(tmp_path):
    path = tmp_path / "long.csv"
    # A character of three bytes lies across the end of what is looked at, whatever the head's length.
    for padding in ("a", "aa", "aaa"):
        path.write_text(f"{padding};b\n" + "€,5;1,5\n" * 20_000, encoding="utf-8")

        assert dialect_of(path) == Dialect(separator=";", decimal_comma=True)


def test_an_empty_file_has_no_rows(tmp_path):
    path = tmp_path / "empty.csv"
    path.touch()

    assert list(rows_in([], dialect_of(path))) == []
