"""`driftline drift check` and `driftline.check` on plain tables."""

import csv
import json

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from scipy import stats

import driftline
from driftline.checking import TabularError
from driftline.command import main

DAY_MS = 86_400_000


def table(rng, rows=4000, *, rho=0.0, start_ms=1_767_225_600_000, every_ms=60_000):
    noise = rng.normal(size=rows)
    heat = np.empty(rows)
    heat[0] = noise[0]
    for i in range(1, rows):
        heat[i] = rho * heat[i - 1] + np.sqrt(1 - rho**2) * noise[i]
    return {
        "time": [start_ms + i * every_ms for i in range(rows)],
        "heat": heat.tolist(),
        "load": rng.gamma(2.0, size=rows).tolist(),
        "mode": rng.choice(["idle", "run", "stop"], p=[0.5, 0.45, 0.05], size=rows).tolist(),
        "steady": [1.0] * rows,
    }


def of(report):
    return {one.column: (one.verdict.value, one.drift) for one in report.columns}


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_two_samples_of_the_same_thing_have_not_drifted(rho):
    rng = np.random.default_rng(7)

    found = [driftline.check(table(rng, 2000, rho=rho), table(rng, 20_000, rho=rho)).drifted for _ in range(10)]

    assert sum(found) <= 1


DAMAGES = {
    "mean_shift": ("heat", lambda rng, rows: rng.normal(0.5, size=rows)),
    "variance_change": ("heat", lambda rng, rows: rng.normal(0, 1.8, size=rows)),
    "shape_change": ("heat", lambda rng, rows: rng.choice([-1.0, 1.0], size=rows) + rng.normal(0, 0.05, size=rows)),
    "dead_sensor": ("heat", lambda rng, rows: np.full(rows, 0.1)),
    "missing_rate": ("load", lambda rng, rows: np.where(rng.random(rows) < 0.3, np.nan, rng.gamma(2.0, size=rows))),
    "unseen_category": ("mode", lambda rng, rows: rng.choice(["idle", "run", "boost"], size=rows)),
}


TAILS = {
    "long": lambda rng, rows: rng.lognormal(0, 2, size=rows),
    "endless": lambda rng, rows: rng.standard_cauchy(size=rows),
    "mostly nothing": lambda rng, rows: np.where(rng.random(rows) < 0.97, 0, rng.gamma(2, 5, size=rows)),
    "words that hardly return": lambda rng, rows: np.array([f"w{one}" for one in rng.zipf(1.7, size=rows)]),
    "words that never return": lambda rng, rows: np.array([f"id {one}" for one in rng.integers(2**62, size=rows)]),
    "numbers of 64 bits": lambda rng, rows: rng.integers(2**64, size=rows, dtype=np.uint64).astype(float),
}


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize(("recent", "baseline"), [(3000, 3000), (3000, 400), (10, 3000)])
def test_what_few_values_make_up_has_not_drifted_because_of_another_few(tail, recent, baseline):
    rng, draw = np.random.default_rng(7), TAILS[tail]

    found = [driftline.check({"x": draw(rng, recent)}, {"x": draw(rng, baseline)}).drifted for _ in range(10)]

    assert sum(found) <= 1


def test_a_few_rows_without_one_of_the_rare_values_are_no_dead_sensor():
    rng = np.random.default_rng(1)
    then = [np.where(rng.random(3000) < 0.9, 0, rng.gamma(2, 5, size=3000)) for _ in range(20)]

    assert not any(driftline.check({"x": [0.0] * 20}, {"x": one}).drifted for one in then)


@pytest.mark.parametrize("unit", [1e-30, 1e-6, 1e20, 1e290])
@pytest.mark.parametrize("zero", [0.0, 1e9])
def test_neither_unit_nor_zero_of_a_column_changes_what_is_said(unit, zero):
    rng = np.random.default_rng(3)
    then, now = rng.normal(size=4000), rng.normal(0.5, size=4000)

    said, moved = (
        driftline.check({"x": (now + by) * scale}, {"x": (then + by) * scale}).columns[0]
        for scale, by in ((1.0, 0.0), (unit, zero))
    )

    assert (moved.verdict, moved.drift, moved.severity) == (said.verdict, said.drift, said.severity)
    assert moved.scores == pytest.approx(said.scores, rel=1e-4)


def test_a_baseline_of_few_values_proves_nothing():
    rng = np.random.default_rng(3)

    few, none = (driftline.check({"x": rng.normal(size=3000)}, {"x": then}) for then in ([0.5] * 3, [None] * 3000))

    assert of(few) == of(none) == {"x": ("not_enough_data", "")}
    assert few.columns[0].note == "3000 values against 3, 160 are needed"


def test_a_column_of_many_words_leaves_its_neighbours_alone():
    rng = np.random.default_rng(3)
    words = [f"w{one}" for one in rng.integers(0, 50, size=4000)]
    baseline = {"word": words, "heat": rng.normal(size=4000)}

    report = driftline.check({"word": ["new"] * 4000, "heat": rng.normal(size=4000)}, baseline)

    assert of(report) == {"word": ("drift", "unseen_category"), "heat": ("stable", "")}


@pytest.mark.parametrize("dirty", ["recent", "baseline", "both"])
def test_words_between_numbers_count_as_missing_and_are_told_of(dirty):
    rng = np.random.default_rng(3)
    then, now = rng.normal(size=4000).tolist(), rng.normal(size=4000).tolist()
    for which, column in (("baseline", then), ("recent", now)):
        if dirty in (which, "both"):
            column[::20] = ["Over Range"] * 200

    report = driftline.check({"x": now}, {"x": then})

    assert of(report)["x"] == (("drift", "missing_rate") if dirty == "recent" else ("stable", ""))
    assert any("200" in note and "'Over Range'" in note for note in report.notes)


def test_numbers_that_became_words_have_drifted():
    report = driftline.check({"x": ["on", "off"] * 500}, {"x": [1, 0] * 500})

    assert of(report)["x"] == ("drift", "unseen_category")
    assert "x: one table has numbers, the other words, such as 'on'" in report.notes


def test_all_recent_rows_count_in_a_window_without_end():
    rng = np.random.default_rng(3)

    assert driftline.check(table(rng), table(rng), window_days=float("inf")).recent_rows == 4000


def test_a_window_that_is_no_number_is_refused():
    rng = np.random.default_rng(3)

    with pytest.raises(TabularError, match="window_days: found nan, wanted a number above 0"):
        driftline.check(table(rng), table(rng), window_days=float("nan"))


OTHERS_OFF = (
    "\n".join(f"limits.{name}.high = 1e9" for name in ("psi", "kl_live_reference", "js", "mean_z", "variance_ratio"))
    + "\nlimits.ks_p.high = -1"
)

DRAWN = {
    "a long tail": lambda rng, rows: rng.lognormal(0, 2, size=rows),
    "counts": lambda rng, rows: rng.poisson(0.3, size=rows).astype(float),
    "normal": lambda rng, rows: rng.normal(size=rows),
}


@pytest.mark.parametrize("drawn", DRAWN)
def test_the_wasserstein_distance_is_that_of_the_values(drawn):
    rng, draw = np.random.default_rng(3), DRAWN[drawn]
    then, now = draw(rng, 4000), 1.2 * draw(rng, 3000)

    shown = driftline.check({"x": np.r_[now, np.nan]}, {"x": np.r_[np.nan, then]}).columns[0].scores["wasserstein"]

    assert shown == pytest.approx(stats.wasserstein_distance(then, now) / then.std(ddof=1), rel=1e-6)


def test_limits_judge_the_wasserstein_distance_of_the_values():
    then = np.random.default_rng(3).lognormal(0, 2, size=4000)

    near, far = (
        driftline.check(
            {"x": 1.2 * then},
            {"x": then},
            policy=f'mode = "thresholds"\nlimits.wasserstein.high = {limit}\n{OTHERS_OFF}',
        )
        for limit in (0.1, 0.01)
    )

    assert of(near) == {"x": ("stable", "")}
    assert of(far) == {"x": ("drift", "wasserstein")}


def test_a_clock_far_ahead_is_seen_in_the_report():
    rng = np.random.default_rng(3)
    recent = table(rng)
    recent["time"][7] = 4_070_908_800_000

    report = driftline.check(recent, table(rng))

    assert report.recent_rows == 1
    assert "1 of 4000 recent rows lie within 7 days of the last time, 2099-01-01T00:00:00Z" in report.notes


def test_nothing_is_told_of_times_where_all_recent_rows_count():
    rng = np.random.default_rng(3)

    assert driftline.check(table(rng), table(rng)).notes == ()


def test_names_are_shown_as_they_are(tmp_path):
    path = tmp_path / "flow.csv"
    path.write_text("flow [ppm],[/]\n" + "1,2\n" * 400)

    result = CliRunner().invoke(main, ["drift", "check", "--recent", str(path), "--baseline", str(path)])

    assert result.exit_code == 0, result.output
    assert "flow [ppm]" in result.output
    assert "[/]" in result.output


def test_parquet_columns_of_one_name_are_refused(tmp_path):
    path = tmp_path / "twice.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0])], names=["t", "t"]), path)

    with pytest.raises(TabularError, match="wanted names that differ"):
        driftline.check(path, path)


@pytest.mark.parametrize("kind", DAMAGES)
def test_each_drift_is_found_and_named(kind):
    rng, (column, damaged) = np.random.default_rng(3), DAMAGES[kind]
    recent = {**table(rng), column: damaged(rng, 4000).tolist()}

    report = driftline.check(recent, table(rng))

    found = of(report)
    assert found[column] == ("drift", kind)
    assert {verdict for name, (verdict, _) in found.items() if name != column} == {"stable"}
    assert report.columns[0].column == column


@pytest.mark.parametrize(("spread", "kind"), [(1.0, "mean_shift"), (0.01, "stuck_bin")])
def test_a_far_shift_lies_in_the_last_bin_and_is_no_stuck_sensor(spread, kind):
    rng = np.random.default_rng(3)
    recent = {**table(rng), "heat": rng.normal(6.0, spread, size=4000).tolist()}

    assert of(driftline.check(recent, table(rng)))["heat"] == ("drift", kind)


def test_only_the_last_days_of_what_is_recent_count():
    rng = np.random.default_rng(3)
    recent = table(rng, 4000, every_ms=5 * 60_000)
    # Almost fourteen days, of which the first six were hot.
    hot = [5.0 * (at_ms < 1_767_225_600_000 + 6 * DAY_MS) for at_ms in recent["time"]]
    recent["heat"] = [value + more for value, more in zip(recent["heat"], hot, strict=True)]

    assert driftline.check(recent, table(rng), window_days=14).drifted
    assert not driftline.check(recent, table(rng), window_days=3).drifted


def test_a_column_that_is_gone_is_drift_and_one_that_is_new_is_told_of():
    rng = np.random.default_rng(3)
    recent = table(rng)
    recent["extra"] = recent.pop("load")

    report = driftline.check(recent, table(rng))

    assert of(report)["load"] == ("drift", "column_gone")
    assert "new column, not compared: extra" in report.notes


def test_too_few_rows_are_not_enough_data():
    rng = np.random.default_rng(3)

    report = driftline.check(table(rng, 90), table(rng))

    assert not report.drifted
    assert of(report)["heat"] == ("not_enough_data", "")


def test_fixed_limits_are_a_policy_too():
    rng = np.random.default_rng(3)
    recent = {**table(rng), "heat": rng.normal(0.5, size=4000).tolist()}

    report = driftline.check(recent, table(rng), policy='mode = "thresholds"')

    assert of(report)["heat"][0] == "drift"


def test_the_command_says_by_its_exit_code_whether_anything_drifted(tmp_path):
    rng = np.random.default_rng(3)
    same, baseline, other = (tmp_path / name for name in ("same.csv", "baseline.csv", "other.csv"))
    write(same, table(rng))
    write(baseline, table(rng))
    write(other, {**table(rng), "heat": rng.normal(0.5, size=4000).tolist()})

    calm, drifted, told = (
        CliRunner().invoke(main, ["drift", "check", "--recent", str(recent), "--baseline", str(baseline), *more])
        for recent, more in ((same, []), (other, []), (other, ["--json"]))
    )

    assert (calm.exit_code, drifted.exit_code, told.exit_code) == (0, 1, 1), calm.output
    assert "0 of 4 columns drifted" in calm.output
    assert "mean shift" in drifted.output
    assert json.loads(told.output)["columns"][0]["drift"] == "mean_shift"


FRAMES = {"polars": pl.DataFrame, "arrow": pa.table}


@pytest.mark.parametrize("library", FRAMES)
def test_data_frames_are_tables_too(library):
    rng, frame = np.random.default_rng(3), FRAMES[library]
    recent = {**table(rng), "heat": rng.normal(0.5, size=4000)}
    recent["time"] = np.array(recent["time"], "datetime64[ms]")

    report = driftline.check(frame(recent), frame(table(rng)))

    assert of(report) == {
        "heat": ("drift", "mean_shift"), "load": ("stable", ""), "mode": ("stable", ""), "steady": ("stable", "")
    }  # fmt: skip
    assert str(report).startswith("1 of 4 columns drifted: 4000 rows against 4000\n  heat: mean_shift, ")


def test_a_parquet_file_says_what_a_csv_file_says(tmp_path):
    rng = np.random.default_rng(3)
    recent, baseline = table(rng), table(rng)
    for name, columns in (("recent", recent), ("baseline", baseline)):
        write(tmp_path / f"{name}.csv", columns)
        pl.DataFrame(columns).write_parquet(tmp_path / f"{name}.parquet")

    of_csv, of_parquet = (
        driftline.check(tmp_path / f"recent.{ending}", tmp_path / f"baseline.{ending}") for ending in ("csv", "parquet")
    )

    assert of_csv == of_parquet


def test_a_table_as_an_instrument_wrote_it(tmp_path):
    rng = np.random.default_rng(3)
    lines = [
        f"{10 + day:02}/03/2004;{hour:02}.00.00;{str(round(rng.normal(20), 3)).replace('.', ',')};?;;"
        for day in range(20)
        for hour in range(24)
    ]
    path = tmp_path / "air.csv"
    path.write_text("\n".join(["Date;Time;CO(GT);NOx;;", *lines, ";;;;;", ";;;;;"]))
    asked = ["drift", "check", "--recent", str(path), "--baseline", str(path), "--window-days", "10"]

    unread = CliRunner().invoke(main, asked)
    read = CliRunner().invoke(main, [*asked, "--time-format", "%d/%m/%Y %H.%M.%S"])

    assert unread.exit_code == 2
    assert "row 1: the time is '10/03/2004 00.00.00'; wanted: ISO 8601" in unread.output
    assert "--time-format" in unread.output
    assert read.exit_code == 0, read.output
    assert "0 of 2 columns drifted: 241 rows against 480" in read.output


def test_a_table_without_a_head_is_numbered(tmp_path):
    rng = np.random.default_rng(3)
    path = tmp_path / "engines.txt"
    path.write_text("".join(f"{1 + row // 200}  {row % 200}  {rng.normal():.4f} \n" for row in range(2000)))

    assert set(of(driftline.check(path, path))) == {"column_1", "column_2", "column_3"}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "found 0 lines, wanted a head and at least one row"),
        (b"a,a\n1,2\n", "wanted names that differ"),
        (b"heat,load\n1,2\n3\n", "line 3 has 1 values, the head has 2"),
        (b"\xff\xfe\x00", "codec can't decode"),
        (b"\x1f\x8b\x08", "found gzip, wanted text"),
        (b"PK\x03\x04", "found a ZIP archive or a workbook, wanted text"),
        (b'heat,load\n1,2\n1,"2\n' + b"1,2\n" * 50, "row 3: found a quote that nothing closes"),
        (b"time,heat\nsoon,1\n", "time: row 1: the time is 'soon'; wanted: ISO 8601"),
        (b"other\n1\n", "nothing to compare: recent has 1 rows of other"),
    ],
)
def test_a_file_that_cannot_be_compared_is_said_to_be_so(tmp_path, content, complaint):
    recent, baseline = tmp_path / "recent.csv", tmp_path / "baseline.csv"
    recent.write_bytes(content)
    baseline.write_text("heat,load\n1,2\n")

    result = CliRunner().invoke(main, ["drift", "check", "--recent", str(recent), "--baseline", str(baseline)])

    assert result.exit_code == 2
    assert complaint in result.output


def write(path, columns):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
