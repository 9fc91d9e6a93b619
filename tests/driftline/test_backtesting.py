"""Backtests from Python and from the command line, and the notebook that shows them."""

import json
import re
from pathlib import Path

import pytest
from backtest_fleet import exported, recorded
from click.testing import CliRunner

import driftline
from driftline.command import main

NOTEBOOK = Path(__file__).parents[2] / "docs" / "backtesting.ipynb"
INCIDENTS = """device,start,end
d-1,2026-01-01T03:20,2026-01-01T05:20
d-3,2026-01-01T06:40,2026-01-01T08:20
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    fleet, windows, _ = recorded()
    folder = tmp_path_factory.mktemp("november")
    exported(folder / "november.parquet", windows, grids=[fleet.grid], baselines=[fleet.baseline])
    (folder / "incidents.csv").write_text(INCIDENTS)
    return folder


# Several backtests, one of them a search.
@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_the_notebook_runs_from_top_to_bottom(folder, monkeypatch):
    monkeypatch.chdir(folder)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {}

    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)  # noqa: S102  (it is ours)

    assert names["found"].policies.filter(policy="usual")["hits"].to_list() == [2]
    assert names["found"].alerts["policy"].unique().sort().to_list() == ["coarse", "usual"]
    assert names["found"].alerts["fired"].dtype.time_zone == "UTC"
    assert "[floors]" in names["search"].best
    # A copy of a device that drifts already has its alert before the fault comes.
    assert names["what_if"].what_if.filter(kind="shift", strength=2.0)["power"].item() >= 0.9
    assert (folder / "backtest.html").stat().st_size > 10_000


def test_backtest_is_at_the_front_door():
    assert driftline.backtest.__module__ == "driftline.backtesting"


def invoked(*arguments):
    return CliRunner().invoke(main, ["backtest", "drift", *map(str, arguments)], standalone_mode=False)


def test_the_command_tells_and_writes(folder, tmp_path):
    source = folder / "november.parquet"
    said = ["--source", source, "--labels", folder / "incidents.csv", "--processes", "1", "--budget", "0.5"]
    (tmp_path / "grid.toml").write_text('"floors.mean_shift" = [0.15, 1.5]')

    shown = invoked(
        *said, "--grid", tmp_path / "grid.toml", "--report", tmp_path / "r.html", "--parquet", tmp_path / "tables",
        "--save-policy", tmp_path / "best.toml",
    )  # fmt: skip

    assert shown.exception is None, shown.exception
    assert "3,600 records, 6 devices, 2.5 device-days" in shown.output
    assert "(always fires)" in shown.output
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert {path.name for path in (tmp_path / "tables").iterdir()} == {
        "alerts.parquet", "devices.parquet", "differences.parquet", "policies.parquet", "scores.parquet",
    }  # fmt: skip
    checked = CliRunner().invoke(main, ["drift", "policy", "check", str(tmp_path / "best.toml")], standalone_mode=False)
    assert checked.exception is None, checked.exception


def test_the_command_speaks_json(folder):
    shown = invoked("--source", folder / "november.parquet", "--json", "--processes", "1")

    told = json.loads(shown.output)
    assert told["records"] == told["judged"] == 3600
    subjects = [story["subject"] for story in told["alerts"]["default"]]
    assert [one for one in subjects if one.startswith("d-")] == ["d-1", "d-3"]
    # What so many of a cohort show, the cohort shows.
    assert {one for one in subjects if not one.startswith("d-")} == {"model=pump/1"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "2030-01-01"], "found no record from 2030-01-01 00:00Z to the end; .* has about 3,600 records"),
        (["--from", "soon"], "from: found 'soon', wanted a time such as"),
        (["--from", "2026-02-01", "--to", "2026-01-01"], "wanted an end after the start"),
        (["--grid", "incidents.csv"], "--budget asks for one"),
        (["--what-if", "shift=much"], "--what-if: found 'shift=much', wanted one of shift, scale, dropout, trend"),
        (["--labels", "nowhere.csv"], "nowhere.csv: found .*, wanted incidents, CSV"),
        (["--budget", "1"], "found neither incidents nor faults"),
        (["--report", "gone/r.html"], "--report gone/r.html: found no folder gone"),
        (["--budget", "1", "--save-policy", "."], r"--save-policy \.: found a folder, wanted a file"),
        (["--parquet", "incidents.csv"], r"--parquet incidents\.csv: found a file, wanted a folder"),
    ],
)
def test_what_cannot_be_done_is_said_clearly(folder, monkeypatch, arguments, message):
    monkeypatch.chdir(folder)

    refused = invoked("--source", "november.parquet", *arguments)

    assert refused.exception is not None
    assert refused.exception.__class__.__name__ != "AssertionError"
    assert re.search(message, str(getattr(refused.exception, "message", refused.exception)))
