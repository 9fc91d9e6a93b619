"""`driftline.check`: has what is seen now drifted from what was seen then?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from streams.drift.check import CheckReport, ColumnReport, compare
from streams.drift.policy import read_policy
from streams.drift.tabular import Rows, TabularError, read_rows, rows_of

__all__ = ["CheckReport", "ColumnReport", "TabularError", "check"]

Table = Path | str | Mapping[str, Sequence[Any]]


def check(
    recent: Table,
    baseline: Table,
    *,
    window_days: float = 7,
    time: str = "",
    time_format: str = "",
    policy: str = "",
) -> CheckReport:
    """Compare two tables column by column: CSV or Parquet files, columns by name, or data frames of any library.

    `time` names the column of times (found by its name otherwise), `time_format` says how they are written, as for
    `strptime`; where there are times, the last `window_days` of `recent` count. `policy` is a policy document, TOML.

    >>> then = [float(i % 50) for i in range(900)]
    >>> report = check({"heat": [value + 40 for value in then]}, {"heat": then})
    >>> report.drifted, report.columns[0].drift
    (True, 'mean_shift')
    """
    then, now = (_rows(table, time, time_format, name) for table, name in ((baseline, "baseline"), (recent, "recent")))
    return compare(now, then, rules=read_policy(policy), window_days=window_days)


def _rows(table: Table, time: str, time_format: str, where: str) -> Rows:
    if isinstance(table, str | Path):
        return read_rows(Path(table), time=time, time_format=time_format)
    # Frames of Arrow and of others name their columns in their own ways; a mapping is its names.
    names = getattr(table, "column_names", getattr(table, "columns", table))
    columns = {str(name): table[name] for name in names}
    return rows_of(columns, time=time, time_format=time_format, where=where)
