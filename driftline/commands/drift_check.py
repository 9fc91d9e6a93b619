"""`driftline drift check`: compare two files."""

import json
from pathlib import Path

import click

from driftline.checking import CheckReport, TabularError
from driftline.checking import check as compared
from driftline.tables import plain_table, show
from driftline.text_files import read_text_file
from driftline.time_option import time_format_option
from schemas.jsonable import as_text

__all__ = ["check"]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_SHOWN = ("psi", "ks", "wasserstein", "mean_shift", "variance_ratio", "missing_rate_change")


@click.command(epilog="Example: driftline drift check --recent today.csv --baseline training.csv --window-days 7")
@click.option("--recent", type=_FILE, required=True, help="What is seen now: CSV or Parquet.")
@click.option("--baseline", type=_FILE, required=True, help="What was seen then.")
@click.option(
    "--window-days", type=click.FloatRange(min=0, min_open=True), default=7.0, show_default=True,
    help="How much of the recent rows counts, where they have times.",
)  # fmt: skip
@click.option("--time", default="", metavar="COLUMN", help="Where the times are; found by its name otherwise.")
@time_format_option
@click.option("--policy", type=_FILE, help="Floors, minimum and mode, TOML.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def check(
    recent: Path, baseline: Path, window_days: float, time: str, time_format: str, policy: Path | None, as_json: bool
) -> None:
    """Say of each column whether it drifted; exits 0 if none did, 1 if one did, 2 if there is nothing to compare."""
    document = read_text_file(policy) if policy else ""
    try:
        report = compared(
            recent, baseline, window_days=window_days, time=time, time_format=time_format, policy=document
        )
    except TabularError as why:
        raise click.UsageError(f"{why}; hint: {why.hint}" if why.hint else str(why)) from why
    click.echo(_as_json(report)) if as_json else _print(report)
    raise SystemExit(1 if report.drifted else 0)


def _print(report: CheckReport) -> None:
    table = plain_table("COLUMN", "VERDICT", "DRIFT", "SEVERITY", *(name.upper() for name in _SHOWN))
    for one in report.columns:
        scores = [f"{one.scores[name]:.3g}" if name in one.scores else "" for name in _SHOWN]
        severity = one.severity.value if one.drift else ""
        table.add_row(one.column, one.verdict.value.replace("_", " "), one.drift.replace("_", " "), severity, *scores)
    show(table)
    for note in (*report.notes, *(f"{one.column}: {one.note}" for one in report.columns if one.note)):
        click.echo(f"note: {note}")
    click.echo(str(report).partition("\n")[0])


def _as_json(report: CheckReport) -> str:
    columns = [
        {
            "column": one.column, "verdict": one.verdict.value, "drift": one.drift, "severity": one.severity.value,
            "rows": one.rows, "scores": dict(one.scores), "note": one.note,
        }
        for one in report.columns
    ]  # fmt: skip
    told = {
        "drifted": report.drifted, "recent_rows": report.recent_rows, "baseline_rows": report.baseline_rows,
        "notes": list(report.notes), "columns": columns,
    }  # fmt: skip
    return json.dumps(json.loads(as_text(told)), indent=2)
