"""Pipelines that a document declares: the same vectors as a program's, however readings come, and nothing else."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.grid import FeatureKind
from sensing import PipelineError, Stream, learn, make_grid, pipeline_in, pipeline_named, pipeline_of, run_batch
from sensing.pipelines import MACHINE, runnable
from sensing.pipelines.declared import declared, read_declaration
from sensing.simulator import Simulated

READINGS = Simulated("machine", seed=3).take(600)
CHANNELS = {one.name: {"unit": one.unit, "low": one.low, "high": one.high} for one in MACHINE.channels}
FORMULAS = {"": "{}", "_mean_60": "mean({}, 60)", "_std_60": "std({}, 60)", "_change_10": "change({}, 10)"}
AS_MACHINE = {
    "name": "as-machine",
    "version": 1,
    "every_ms": 1000,
    "gap": {"max_ms": 60_000},
    "channels": CHANNELS,
    "features": {f"{name}{end}": text.format(name) for end, text in FORMULAS.items() for name in CHANNELS},
}
PRESS = {
    "name": "press",
    "version": 1,
    "every_ms": 1000,
    "channels": {"force": {"low": 0, "high": 900}, "oil": {}, "mode": {}},
    "features": {
        "force": "force",
        "score": "(force - mean(force, 30)) / max(std(force, 30), 1)",
        "heat": {"formula": "sqrt(abs(oil)) + log(exp(1)) * -lag(oil, 7)", "low": -50, "high": 50},
        "night": "day_cos",
        "mode": {"formula": "mode", "kind": "categorical"},
    },
}


def pipeline(document):
    return declared(json.dumps(document))


def test_what_a_program_computes_a_document_computes_too():
    assert pipeline(AS_MACHINE).feature_names == MACHINE.feature_names
    assert pipeline(AS_MACHINE).span == MACHINE.span

    found, wanted = (run_batch(one, READINGS.at_ms, READINGS.values) for one in (pipeline(AS_MACHINE), MACHINE))

    np.testing.assert_allclose(found.matrix, wanted.matrix, rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 300), max_size=8), holes=st.integers(0, 5), seed=st.integers(0, 99))
def test_the_same_vectors_come_out_however_readings_come(cuts, holes, seed):
    rng = np.random.default_rng(seed)
    at_ms = np.arange(300) * 1000 + np.where(np.arange(300) >= 200, 3_600_000 * (holes == 5), 0)
    rows = rng.normal([400, 60, 1], [30, 5, 1], (300, 3))
    rows[rng.integers(0, 300, holes), rng.integers(0, 3, holes)] = np.nan
    whole = run_batch(pipeline(PRESS), at_ms, rows)

    stream, parts = Stream(pipeline(PRESS)), []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), 300], strict=True):
        parts.append(stream.extend(at_ms[start:stop], rows[start:stop]).matrix)
        restarted = Stream(pipeline(PRESS))
        restarted.thaw(stream.freeze())
        stream = restarted

    np.testing.assert_array_equal(np.vstack(parts), whole.matrix)


def test_bounds_and_kinds_are_those_of_the_document():
    features = {one.name: one for one in pipeline(PRESS).features}

    assert (features["force"].low, features["force"].high) == (0, 900)
    assert (features["heat"].low, features["heat"].high) == (-50, 50)
    assert features["score"].low is None
    assert features["mode"].kind is FeatureKind.CATEGORICAL


def test_a_grid_brings_its_pipeline_along():
    one = pipeline(PRESS)
    grid = make_grid(one, np.random.default_rng(0).normal(size=(500, 5)))

    assert pipeline_of(grid) is one
    assert pipeline_of(make_grid(MACHINE, np.random.default_rng(0).normal(size=(500, 16)))) is MACHINE


def test_a_gateway_runs_what_its_readings_allow():
    assert runnable(MACHINE) == ("machine/1",)
    assert runnable(pipeline(PRESS)) == ("press/*",)
    assert runnable(pipeline(AS_MACHINE)) == ("machine/1", "as-machine/*")


def test_one_name_means_one_thing():
    assert learn(pipeline({**PRESS, "name": "twice"})) is pipeline_named("twice/1")

    with pytest.raises(PipelineError, match="twice/1 is known, and was declared otherwise"):
        learn(pipeline({**PRESS, "name": "twice", "every_ms": 500}))
    with pytest.raises(PipelineError, match="machine/1 is a pipeline that every gateway has"):
        learn(pipeline({**PRESS, "name": "machine"}))


REFUSED = {
    "men(force, 60)": "found 'men\\(force, 60\\)', wanted arithmetic, or one of abs",
    "forse": "found 'forse', wanted one of day_cos, day_sin, force",
    "mean(mean(force, 3), 3)": "found mean\\(\\) within another look back",
    "mean(force, 1.5)": "found mean\\(\\) over 1.5, wanted 1 to 100000 readings",
    "std(force, 1)": "wanted 2 to 100000 readings",
    "lag(force, 10 ** 9)": "wanted 1 to 100000 readings",
    "mean(force, 99999) + mean(oil, 99999)": "keep 1199988 numbers, wanted at most 1000000",
    "force ** 9": "found 'force \\*\\* 9'",
    "force if oil else mode": "wanted arithmetic",
    "__import__('os').system('true')": "wanted arithmetic",
    "force.__class__": "wanted arithmetic",
    "(lambda: force)()": "wanted arithmetic",
    "[force][0]": "wanted arithmetic",
    "True": "found 'True'",
    "1e999": "wanted arithmetic",
    "max(force)": "found max\\(\\) of 1 values, wanted 2",
    "force +": "wanted a formula such as",
    "": "wanted a formula such as",
    "(" * 300: "wanted a formula such as",
    "-" * 499 + "1": "nested deeper than 30",
    "+ ".join(["force"] * 200): "found a formula of \\d+ characters, wanted at most 500",
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_formula_may_compute_and_nothing_else(text):
    with pytest.raises(PipelineError, match=REFUSED[text]):
        pipeline({**PRESS, "features": {"bad": text}})


WRONG = [
    ({"name": "Press 7"}, "name: found 'Press 7', wanted a text of the form"),
    ({"version": 0}, "version: found 0, wanted a whole number, 1 to"),
    ({"every_ms": None}, "every_ms: found nothing, wanted a whole number"),
    ({"channels": {}}, "channels: found 0, wanted 1 to 64 of them"),
    ({"channels": {"day_sin": {}}}, "channels: found day_sin, which is a time"),
    ({"channels": {"a b": {}}}, "channels: found 'a b', wanted names of the form"),
    ({"channels": {"force": {"low": 5, "high": 5}}}, "channels.force.low: found 5.0, wanted less than high, 5"),
    ({"channels": {"force": {"lo": 5}}}, "channels.force.lo: found 5, wanted a known key; known: high, low, unit"),
    ({"features": {"force": 5}}, "features.force: found 5, wanted a table"),
    ({"features": {"force": {"formula": "force", "kind": "word"}}}, "features.force.kind: found 'word'"),
    ({"gap": {"max_ms": 5}}, "gap.max_ms: found 5, wanted a whole number, 1000 to"),
    ({"chanels": {}}, "chanels: found {}, wanted a known key; known: channels, every_ms"),
]


@pytest.mark.parametrize(("change", "said"), WRONG)
def test_a_document_that_says_otherwise_is_refused_by_place(change, said):
    with pytest.raises(PipelineError, match=said):
        pipeline({**PRESS, **change})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "press.toml: "),
        ("name = 2026-01-01", "press.toml: .*date"),
        ("low = inf", "press.toml: "),
        ("low = " + "[" * 5000, "press.toml: "),
        ("low = " + "9" * 5000, "press.toml: "),
        (None, "No such file"),
    ],
)
def test_a_file_that_is_no_declaration_is_named(tmp_path, text, said):
    path = Path(tmp_path / "press.toml")
    if text is not None:
        path.write_text(text)

    with pytest.raises(PipelineError, match=said):
        pipeline_in(str(path))


def test_a_file_may_begin_with_the_mark_of_an_editor(tmp_path):
    path = tmp_path / "press.toml"
    path.write_text(
        'name = "press"\nversion = 2\nevery_ms = 1000\nchannels.z = {}\nfeatures.z = "z"\n', encoding="utf-8-sig"
    )

    assert read_declaration(path).channel_names == ("z",)


def test_features_keep_the_order_of_the_file(tmp_path):
    path = tmp_path / "press.toml"
    path.write_text(
        'name = "press"\nversion = 2\nevery_ms = 1000\nchannels = { z = {}, a = {} }\nfeatures = { z = "z", a = "a" }\n'
    )

    assert read_declaration(path).channel_names == ("z", "a")
    assert read_declaration(path).feature_names == ("z", "a")
