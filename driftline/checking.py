"""`driftline.check`: has what is seen now drifted from what was seen then?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from streams.drift.check import CheckReport, ColumnReport, compare
from streams.drift.policy import read_policy
from streams.drift.tabular import Rows, TabularError, read_csv, rows_of

__all__ = ["CheckReport", "ColumnReport", "TabularError", "check"]

Table = Path | str | Mapping[str, Sequence[Any]]


def check(recent: Table, baseline: Table, *, window_days: float = 7, time: str = "", policy: str = "") -> CheckReport:
    """Compare two tables column by column: CSV files, or columns by name, such as a data frame.

    `time` names the column of times (found by its name otherwise); where there is one, the last `window_days` of
    `recent` count. `policy` is a policy document, TOML.

    >>> then = [float(i % 50) for i in range(900)]
    >>> report = check({"heat": [value + 40 for value in then]}, {"heat": then})
    >>> report.drifted, report.columns[0].drift
    (True, 'mean_shift')
    """
    return compare(
        _rows(recent, time, "recent"), _rows(baseline, time, "baseline"), rules=read_policy(policy),
        window_days=window_days,
    )  # fmt: skip


def _rows(table: Table, time: str, where: str) -> Rows:
    if isinstance(table, str | Path):
        return read_csv(Path(table), time=time)
    # A data frame is a mapping but for its name.
    return rows_of({str(name): table[name] for name in table}, time=time, where=where)
