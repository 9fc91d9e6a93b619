"""Incidents: what really happened, when, on which device; read from a CSV file that people keep."""

import csv
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.backtest.errors import BacktestError
from streams.backtest.span import moment_ms, told_moment

__all__ = ["Incident", "IncidentError", "known_devices_only", "read_incidents", "within"]

_NEEDED = ("device", "start", "end")
_ALSO = ("feature", "kind", "name")


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that alerts should have told of; an empty feature or kind is any."""

    device_id: str
    from_ms: int
    to_ms: int
    feature: str = ""
    kind: str = ""
    name: str = ""


class IncidentError(BacktestError):
    """A labels file that cannot be used; `line` counts from 1."""

    def __init__(self, path: object, line: int, found: str, wanted: str) -> None:
        super().__init__(f"{path}, line {line}: found {found}, wanted {wanted}")
        self.line = line


def read_incidents(path: Path) -> list[Incident]:
    """Read a file with columns device, start and end, and perhaps feature, kind and name; times are UTC unless said."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _incidents(path, csv.reader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise BacktestError(f"{path}: found {error}, wanted incidents, CSV") from None
    except csv.Error as error:
        raise BacktestError(f"{path}: found no CSV ({error})") from None


def within(incidents: Sequence[Incident], first_ms: int, last_ms: int, source: object) -> list[Incident]:
    """Return the incidents of which some part lies within what was replayed; a file without any is refused."""
    inside = [one for one in incidents if one.from_ms < last_ms and one.to_ms > first_ms]
    if incidents and not inside:
        first, last = min(one.from_ms for one in incidents), max(one.to_ms for one in incidents)
        raise BacktestError(
            f"{source}: found incidents from {told_moment(first)} to {told_moment(last)}, wanted at least one within "
            f"what was replayed, {told_moment(first_ms)} to {told_moment(last_ms)}"
        )
    return inside


def known_devices_only(incidents: Sequence[Incident], devices: Collection[str], source: object) -> None:
    """Refuse incidents of devices of which there is no window: a slip of the pen would count as a miss for ever."""
    strange = sorted({one.device_id for one in incidents} - set(devices))
    if strange:
        some = ", ".join(sorted(devices)[:5])
        shown = ", ".join(map(repr, strange[:5]))
        raise BacktestError(
            f"{source}: found {len(strange)} unknown device{'s' * (len(strange) > 1)} ({shown}), "
            f"wanted some of the {len(devices)} that have windows in the range ({some}, …)"
        )


def _incidents(path: Path, rows: Iterable[list[str]]) -> list[Incident]:
    found: list[Incident] = []
    header: list[str] | None = None
    for line, row in enumerate(rows, start=1):
        if not row or not any(cell.strip() for cell in row):
            continue
        cells = [cell.strip() for cell in row]
        if header is None:
            header = _header(path, line, cells)
        else:
            found.append(_incident(path, line, header, cells))
    if header is None:
        raise IncidentError(path, 1, "nothing", f"a header: {', '.join(_NEEDED)}")
    if not found:
        raise BacktestError(f"{path}: found no incident, wanted at least one")
    return found


def _header(path: Path, line: int, cells: list[str]) -> list[str]:
    names = [cell.lower() for cell in cells]
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise IncidentError(path, line, f"columns {', '.join(cells)}", f"also {', '.join(missing)}")
    strange = [name for name in names if name not in (*_NEEDED, *_ALSO)]
    if strange or len(set(names)) < len(names):
        raise IncidentError(path, line, f"columns {', '.join(cells)}", f"each once, of {', '.join((*_NEEDED, *_ALSO))}")
    return names


def _incident(path: Path, line: int, header: list[str], cells: list[str]) -> Incident:
    if len(cells) != len(header):
        raise IncidentError(path, line, f"{len(cells)} cells", f"{len(header)}")
    row = dict(zip(header, cells, strict=True))
    if not row["device"]:
        raise IncidentError(path, line, "no device", "a device id")
    start, end = (_moment(path, line, name, row[name]) for name in ("start", "end"))
    if end <= start:
        raise IncidentError(path, line, f"end {told_moment(end)}", f"one after start {told_moment(start)}")
    return Incident(row["device"], start, end, *(row.get(name, "") for name in _ALSO))


def _moment(path: Path, line: int, name: str, text: str) -> int:
    try:
        return moment_ms(text)
    except BacktestError:
        raise IncidentError(path, line, f"{name} {text!r}", "a time such as 2026-11-01T08:00Z") from None
