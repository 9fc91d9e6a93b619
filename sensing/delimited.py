"""Tables in text as instruments and spreadsheets write them: other separators, decimal commas, other encodings."""

import csv
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sensing.errors import SensingError

__all__ = ["NOTHING", "Dialect", "dialect_of", "rows_in"]

# What is written where nothing was measured, in lower case.
NOTHING = frozenset({"", "na", "nan", "null", "none", "n/a", "n.a.", "#n/a", "<na>", "nat", "\\n", "-", "--", "?"})

_SEPARATORS = (",", ";", "\t", "|")
# A head of one name that has a space in it is no table of two columns.
_MOSTLY = 0.9
_LOOKED_AT = 64 * 1024
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
# How files begin that hold tables but are no text.
_NO_TEXT = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "a ZIP archive or a workbook",
    b"\xd0\xcf\x11\xe0": "an old workbook",
    b"PAR1": "Parquet, whose files end in .parquet",
    b"SQLite format 3\x00": "an SQLite database",
}
_WITH_COMMA = re.compile(r"\s*[-+]?\d+,\d+([eE][-+]?\d+)?\s*")
_WITH_POINT = re.compile(r"\s*[-+]?\d+\.\d+([eE][-+]?\d+)?\s*")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file is written; a separator of one space stands for any run of them."""

    encoding: str = "utf-8-sig"
    separator: str = ","
    decimal_comma: bool = False


def dialect_of(path: Path) -> Dialect:
    """Guess from the file's beginning; `SensingError` where that is of something else than text."""
    with path.open("rb") as file:
        beginning = file.read(_LOOKED_AT)
    for mark, form in _NO_TEXT.items():
        if beginning.startswith(mark):
            raise SensingError(f"{path}: found {form}, wanted text", hint="unpack it, or save it as CSV")
    encoding = _encoding(beginning)
    text = beginning.decode(encoding, errors="replace")
    lines = text.splitlines()
    # The last line may have been cut.
    lines = lines[:-1] if len(beginning) == _LOOKED_AT and len(lines) > 1 else lines
    shown = [line for line in lines if line.strip() and not line.startswith("#")]
    separator = _separator(shown)
    cells = [cell for row in _split(shown, separator) for cell in row]
    commas, points = (sum(1 for cell in cells if form.fullmatch(cell)) for form in (_WITH_COMMA, _WITH_POINT))
    return Dialect(encoding, separator, decimal_comma=separator != "," and commas > points)


def rows_in(lines: Iterable[str], dialect: Dialect) -> Iterator[list[str]]:
    """Split lines into cells, with decimal points; comments before the head are left out.

    >>> list(rows_in(["# from the logger", "at;heat", "10.03.2004;2,6"], Dialect(separator=";", decimal_comma=True)))
    [['at', 'heat'], ['10.03.2004', '2.6']]
    """
    rows = _split(itertools.dropwhile(lambda line: line.startswith("#"), lines), dialect.separator)
    if not dialect.decimal_comma:
        return rows
    return ([cell.replace(",", ".") if _WITH_COMMA.fullmatch(cell) else cell for cell in row] for row in rows)


def _encoding(beginning: bytes) -> str:
    if mark := _MARKS.get(beginning[:2]):
        return mark
    try:
        beginning.decode("utf-8")
    except UnicodeDecodeError as error:
        # A character that the cut went through is none that is wrong.
        if error.start < len(beginning) - 3:
            return "cp1252"
    return "utf-8-sig"


def _separator(lines: Sequence[str]) -> str:
    """Return what cuts the head, and most lines into as many cells as the head; spaces only where nothing else does."""

    def agreement(separator: str) -> float:
        try:
            widths = [len(row) for row in _split(lines, separator)]
        except csv.Error:
            return 0.0
        return widths.count(widths[0]) / len(widths) if widths and widths[0] > 1 else 0.0

    best = max(_SEPARATORS, key=agreement)
    return best if agreement(best) > 0 else " " if agreement(" ") > _MOSTLY else ","


def _split(lines: Iterable[str], separator: str) -> Iterator[list[str]]:
    if separator == " ":
        lines = (line.strip() for line in lines)
    return csv.reader(lines, delimiter=separator, skipinitialspace=separator == " ")
