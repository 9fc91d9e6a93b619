"""Backtests over recorded files: what is found, what is refused, and that nothing depends on how it was run."""

import re
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from backtest_fleet import HOUR_MS, exported, recorded
from drift_fleet import MINUTE_MS, START_MS, Fleet, health

from schemas.catalogue import topic_named
from schemas.drift_alert import AlertState, DriftAlert, Evidence, Severity
from schemas.partition import partition_of
from schemas.record import as_plain
from streams.backtest.candidate import Candidate, read_candidates
from streams.backtest.errors import BacktestError, NothingThereError
from streams.backtest.grid import grid_of, read_grid
from streams.backtest.history import Entry, FileHistory
from streams.backtest.history.parquet_file import ParquetWriter
from streams.backtest.incidents import Incident
from streams.backtest.report import page, plain
from streams.backtest.search import Goal
from streams.backtest.span import Span
from streams.backtest.study import Question, Search, WhatIf, study
from streams.drift.policy import read_policy

# Processes take their time to start on a busy machine.
pytestmark = pytest.mark.timeout(600)

STRICT = "[floors]\nmean_shift = 1.5\npsi = 2.0"


def policy(name, document=""):
    return Candidate(name, document, read_policy(document))


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    """Ten hours of six devices, two of which drift for a while."""
    fleet, windows, incidents = recorded()
    folder = tmp_path_factory.mktemp("past")
    path = exported(folder / "stats.parquet", windows, grids=[fleet.grid], baselines=[fleet.baseline])
    return path, incidents


def test_each_policy_is_held_against_what_happened(past):
    path, incidents = past
    question = Question(candidates=[policy("default"), policy("strict", STRICT)], incidents=incidents)

    found = study(FileHistory(path), question)

    by_name = {one.policy: one for one in found.evaluations}
    assert (by_name["default"].hits, by_name["default"].false_alerts) == (2, 0)
    # The smaller shift, 1 sd, is below the strict policy's floor.
    assert (by_name["strict"].hits, by_name["strict"].false_alerts) == (1, 0)
    assert by_name["default"].device_days == pytest.approx(2.5)
    assert by_name["(always fires)"].recall == 1.0
    assert by_name["(never fires)"].recall == 0.0
    assert found.backtest.counts.tally.judged == 3600


def test_the_number_of_processes_changes_nothing(past):
    path, incidents = past
    question = Question(candidates=[policy("default"), policy("t", 'mode = "thresholds"')], incidents=incidents)

    alone = plain(study(FileHistory(path), question))

    assert plain(study(FileHistory(path), replace(question, processes=2))) == alone
    assert alone["alerts"]["default"]


def test_a_search_finds_the_quickest_policy_within_the_budget(past):
    path, incidents = past
    grid = {"floors.mean_shift": [0.3, 1.5, 5.0], "budget.false_alarms_per_device_day": [1e-4, 50.0]}
    question = Question(incidents=incidents, search=Search(goal=Goal(0.5), grid=grid))

    found = study(FileHistory(path), question)

    best = next(one for one in found.evaluations if one.policy == found.best.name)
    assert best.hits == 2
    assert best.false_per_device_day <= 0.5
    meeting = [one for one in found.evaluations if one.false_per_device_day <= 0.5 and not one.policy.startswith("(")]
    assert best.censored_delay_ms == min(one.censored_delay_ms for one in meeting)
    # What it chose is a policy, and more was tried than the grid says.
    assert read_policy(found.policy) == found.best.rules
    assert len(found.evaluations) > 6


def test_tuning_and_reporting_are_on_different_stretches(past):
    path, incidents = past
    question = Question(
        span=Span(START_MS, START_MS + 20 * HOUR_MS), incidents=incidents, tune_until_ms=START_MS + 6 * HOUR_MS,
        search=Search(grid={"floors.mean_shift": [0.3, 5.0]}, refine=False),
    )  # fmt: skip

    found = study(FileHistory(path), question)

    tuned = next(one for one in found.tuned if one.policy == found.best.name)
    reported = next(one for one in found.evaluations if one.policy == found.best.name)
    assert (tuned.incidents, tuned.hits, reported.incidents, reported.hits) == (1, 1, 1, 1)
    assert (tuned.device_days, reported.device_days) == (pytest.approx(1.5), pytest.approx(1.0))


def test_injected_faults_give_power_and_delay(past):
    path, _ = past
    what_if = WhatIf(kinds={"shift": [0.01, 2.0], "dropout": [0.9]}, each=4, lasting_ms=HOUR_MS, warm_ms=HOUR_MS)

    found = study(FileHistory(path), Question(candidates=[policy("default")], what_if=what_if))

    power = {(one.kind, one.strength): one for one in found.power}
    assert power["shift", 2.0].found == power["dropout", 0.9].found == 4
    assert power["shift", 0.01].found == 0
    assert power["shift", 2.0].median_delay_ms <= 5 * MINUTE_MS
    # What is done to a copy is nothing that the real devices did.
    real = study(FileHistory(path), Question(candidates=[policy("default")])).stories()
    assert found.stories() == real
    assert found.backtest.device_days == pytest.approx(2.5)


def test_the_page_holds_all_that_it_shows(past):
    path, incidents = past
    question = Question(incidents=[*incidents], search=Search(grid={"floors.mean_shift": [0.3, 1.5]}, refine=False))

    told = page(study(FileHistory(path), question))

    assert told.count("<svg") >= 4
    assert "http" not in told.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert "<script" not in told


def test_names_cannot_smuggle_markup_into_the_page(tmp_path):
    fleet = Fleet()
    windows = [fleet.window("<script>alert(1)</script>", minute) for minute in range(40)]
    path = exported(tmp_path / "a.parquet", windows, grids=[fleet.grid], baselines=[fleet.baseline])

    assert "<script>" not in page(study(FileHistory(path), Question(candidates=[policy("<script>")])))


def test_a_range_that_begins_before_the_log_says_so(past):
    path, _ = past

    found = study(FileHistory(path), Question(span=Span(START_MS - 5 * HOUR_MS, START_MS + HOUR_MS)))

    assert found.backtest.notes == ["found the log to begin at 2026-01-01 00:01:01Z, wanted from 2025-12-31 19:00Z on"]


def test_an_empty_range_says_what_is_there(past):
    path, _ = past

    with pytest.raises(NothingThereError, match=r"found no record from 1970.*; .* has about 3,600 records, 2026-01-01"):
        study(FileHistory(path), Question(span=Span(1000, 2000)))


def test_a_topic_without_baselines_is_refused(tmp_path):
    fleet, windows, _ = recorded(devices=1, minutes=5, faults=())
    path = exported(tmp_path / "a.parquet", windows, grids=[fleet.grid])

    with pytest.raises(BacktestError, match=r"models\.baselines: found none on .*, wanted what the windows"):
        study(FileHistory(path), Question())


def test_windows_of_a_model_without_a_baseline_are_counted_and_named(tmp_path):
    fleet, windows, _ = recorded(devices=1, minutes=5, faults=())
    windows.append(fleet.window("d-0", 6, model_id="other/1"))
    path = exported(tmp_path / "a.parquet", windows, grids=[fleet.grid], baselines=[fleet.baseline])

    counts = study(FileHistory(path), Question()).backtest.counts

    assert (counts.refused, counts.tally.judged) == (1, 5)
    assert list(counts.reasons) == ["model 'other/1': found no baseline, wanted one on models.baselines"]


def test_labels_of_unknown_devices_are_refused(past):
    path, _ = past

    with pytest.raises(BacktestError, match=r"l\.csv: found 1 unknown device \('d-77'\)"):
        study(FileHistory(path), Question(incidents=[Incident("d-77", START_MS, START_MS + 1)], labels_name="l.csv"))


def test_incidents_of_other_times_are_left_out_and_counted(past):
    path, incidents = past
    before = Incident("d-77", START_MS - 2 * HOUR_MS, START_MS - HOUR_MS)

    found = study(FileHistory(path), Question(incidents=[before, *incidents], labels_name="l.csv"))

    assert found.evaluations[0].recall == 1.0
    (note,) = found.backtest.notes
    assert note.startswith("l.csv: 1 of 3 incidents left out, they lie outside of what was replayed, 2026-01-01 00:00Z")
    with pytest.raises(BacktestError, match=r"l\.csv: found incidents from 2025-12-31 22:00Z to 2025-12-31 23:00Z"):
        study(FileHistory(path), Question(incidents=[before], labels_name="l.csv"))


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.nightly)])
def test_a_damaged_block_is_left_out_counted_and_named(past, tmp_path, processes):
    path, _ = past
    damaged = bytearray(path.read_bytes())
    group = pq.read_metadata(path).row_group(3)
    places = [group.column(i) for i in range(group.num_columns)]
    counts = next(one for one in places if one.path_in_schema == "counts")
    damaged[counts.data_page_offset + counts.total_compressed_size // 2] ^= 0xFF
    (tmp_path / "d.parquet").write_bytes(damaged)

    found = study(FileHistory(tmp_path / "d.parquet"), Question(processes=processes)).backtest

    (note,) = found.notes
    assert re.match(
        r"d\.parquet: row group 3 \(100 records of partition \d+ from offset \d+\): left out, its bytes are damaged",
        note,
    )
    assert found.left_out == 1
    assert found.counts.records == 3500


def test_a_search_wants_something_to_be_quick_about(past):
    with pytest.raises(BacktestError, match="found neither incidents nor faults to inject"):
        study(FileHistory(past[0]), Question(search=Search()))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("floors = [", "grid: found .*, wanted TOML"),
        ("floors.psi = 0.1", "grid: floors.psi: found 0.1, wanted a list of values to try"),
        ("", "grid: found no key"),
    ],
)
def test_a_grid_that_is_none_is_refused(document, message):
    with pytest.raises(BacktestError, match=message):
        read_grid(document)


def test_combinations_that_are_no_policies_are_named():
    with pytest.raises(BacktestError, match=r"grid: flors=0.1: policy: .*flors.*known"):
        grid_of("", {"flors": [0.1]})
    with pytest.raises(BacktestError, match="found 1,001 combinations, wanted at most 1,000"):
        grid_of("", {"floors.psi": list(range(1, 1002))})


def test_a_policy_file_may_begin_with_the_mark_of_an_editor(tmp_path):
    (tmp_path / "new.toml").write_text('mode = "thresholds"\n', encoding="utf-8-sig")

    assert [one.rules.mode for one in read_candidates([tmp_path / "new.toml"])] == ["thresholds"]


def test_unknown_keys_of_a_policy_are_named_with_their_file(tmp_path):
    (tmp_path / "new.toml").write_text("flors = 1")

    with pytest.raises(BacktestError, match=r"new\.toml: policy: flors: found 1, wanted a known key; known: "):
        read_candidates([tmp_path / "new.toml"])


def test_two_policies_of_one_name_are_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "p.toml").write_text("")

    with pytest.raises(BacktestError, match="policy 'p': found twice"):
        read_candidates([tmp_path / "a" / "p.toml", tmp_path / "b" / "p.toml"])


def test_faults_that_are_none_and_history_too_short_for_them_are_refused(past):
    path, _ = past

    with pytest.raises(BacktestError, match="what-if: found 'shiver', wanted one of shift, scale, dropout, trend"):
        study(FileHistory(path), Question(what_if=WhatIf(kinds={"shiver": [1.0]})))
    with pytest.raises(BacktestError, match="found no device with 101 h of history"):
        study(FileHistory(path), Question(what_if=WhatIf(kinds={"shift": [1.0]}, lasting_ms=100 * HOUR_MS)))


def test_model_health_is_judged_beside(past, tmp_path):
    path, _ = past
    (tmp_path / "stats.parquet").write_bytes(path.read_bytes())
    topic = topic_named("telemetry.model-health")
    told = [health("d-2", minute, errors=300 if minute >= 200 else 0) for minute in range(260)]
    entries = [Entry(0, i, one.window_end_ms, b"d-2", as_plain(one)) for i, one in enumerate(told)]
    # On its device's partition, as all that is keyed by devices.
    entries = [replace(one, partition=partition_of("d-2", 12)) for one in entries]
    with ParquetWriter(tmp_path / "health.parquet", topic) as writer:
        writer.write(entries)

    found = study(FileHistory(tmp_path), Question(candidates=[policy("default")])).stories()["default"]

    (story,) = [one for one in found if one.subject == "d-2"]
    assert (story.feature, story.kind) == ("error_rate", "shift")
    assert START_MS + 200 * MINUTE_MS < story.fired_ms < START_MS + 230 * MINUTE_MS


def test_alerts_that_no_replay_tells_are_counted_and_named(past, tmp_path):
    path, _ = past
    (tmp_path / "stats.parquet").write_bytes(path.read_bytes())
    fired = [
        alert("site=b", subject_is_cohort=True), alert("site=c", subject_is_cohort=True, prefix="cohort-drift/"),
        alert("d-1", feature="accuracy", kind="shift"), alert("d-2", feature="error_rate", kind="shift"),
        alert("d-3"),
    ]  # fmt: skip
    told = [Entry(0, i, START_MS, one.alert_id.encode(), as_plain(one)) for i, one in enumerate(fired)]
    with ParquetWriter(tmp_path / "alerts.parquet", topic_named("drift.alerts")) as writer:
        writer.write(told)

    backtest = study(FileHistory(tmp_path), Question()).backtest

    assert [one.subject for one in backtest.published] == ["site=c", "d-3"]
    assert backtest.notes == [
        "neither replayed nor compared: 1 alerts that fired then, of many devices at once",
        "neither replayed nor compared: 1 alerts that fired then, of model health, without telemetry.model-health "
        "in the history",
        "neither replayed nor compared: 1 alerts that fired then, of quality, without telemetry.samples and "
        "telemetry.labels in the history",
    ]


def alert(subject, *, feature="f0", kind="mean_shift", subject_is_cohort=False, prefix=""):
    return DriftAlert(
        alert_id=f"{prefix}{subject}/{feature}", kind=kind, subject=subject, subject_is_cohort=subject_is_cohort,
        feature=feature, model_id="pump/1", state=AlertState.FIRING, severity=Severity.HIGH, opened_ms=START_MS,
        changed_ms=START_MS, summary="", evidence=Evidence(scores={}, samples=0, reference="", horizon_ms=0),
        policy_id="default", policy_revision=0,
    )  # fmt: skip
