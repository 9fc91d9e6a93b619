"""From data to a bundle that says of itself what is true."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from schemas.manifest import ModelKind
from schemas.release import ReleaseStage
from sensing import Sketch, make_grid, merge, pipeline_named, run_batch
from sensing.simulator import Simulated
from trainer.data import Dataset, Part
from trainer.errors import DataRefusedError, TrainerError, UnknownModelKindError
from trainer.export.parity import OnnxModel
from trainer.export.signature import check_signature
from trainer.golden import golden_disagreement
from trainer.release import Order, metrics_of, release_of, train_release
from trust import open_bundle


def test_a_bundle_opens_with_the_pinned_key(trained, keys):
    bundle = open_bundle(trained.content, keys.keyring, sha256=trained.bundle.sha256)

    assert bundle.manifest.model_id == "bearing/1"
    assert bundle.manifest.kind is ModelKind.ANOMALY
    assert bundle.manifest.trained_on == trained.split.training.fingerprint()


def test_same_data_same_order_same_bytes(trained, machines, keys):
    again = train_release(machines, Order(model="bearing", version="1"), [keys.signer])

    assert again.content == trained.content


def test_a_world_that_changed_of_late_is_learned(keys):
    """Of a day and a half, the last two hours are warm: so little would only ever be held out, or go under."""
    readings, warm = 5_400, 480
    parts = []
    for number in range(3):
        sensor = Simulated("machine", device=number, stream=number, seed=3)
        seen = sensor.take(readings)
        seen.values[-warm:, 0] += 8 * seen.values[:-warm, 0].std()
        seen_as = run_batch(sensor.pipeline, seen.at_ms, seen.values)
        parts.append(Part(f"m-{number}", seen_as.at_ms, seen_as.matrix))
    dataset = Dataset.of("machine/1", parts)
    changed_ms = int(seen.at_ms[-warm])
    order = Order(model="bearing", version="1")

    unaware = train_release(dataset, order, [keys.signer])
    aware = train_release(dataset, replace(order, changed_ms=changed_ms), [keys.signer])

    assert called_odd(unaware, dataset, since_ms=changed_ms) > 0.9
    assert called_odd(aware, dataset, since_ms=changed_ms) < 0.3
    assert aware.quality["anomaly_share"] < 0.3


def called_odd(trained, dataset, *, since_ms):
    judged = trained.model.predict(dataset.matrix[dataset.at_ms >= since_ms + 120_000])
    return judged.decision.mean()


def test_a_new_world_that_was_hardly_seen_is_not_learned_from(machines, keys):
    last_ms = int(machines.at_ms.max())
    order = Order(model="bearing", version="1", changed_ms=last_ms - 70_000)

    with pytest.raises(DataRefusedError, match=r"the new world: \d+ vectors to learn the new world from; wanted 100"):
        train_release(machines, order, [keys.signer])


SCRIPT = """
import sys
from trainer.data import simulated
from trainer.release import Order, train_release
from trust import load_signer
dataset = simulated("machine", devices=3, samples=3_000, seed=5)
trained = train_release(dataset, Order(model="bearing", version="1"), [load_signer(sys.argv[1], environ={})])
print(trained.bundle.sha256)
"""


def test_another_process_makes_the_same_bytes(trained, keys):
    command = [sys.executable, "-c", SCRIPT, keys.source]

    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"})

    assert done.stdout.strip() == trained.bundle.sha256


def test_another_seed_makes_another_model(trained, machines, keys):
    order = Order(model="bearing", version="1")
    other = train_release(machines, replace(order, settings=replace(order.settings, seed=1)), [keys.signer])

    assert other.bundle.manifest.files["model.onnx"] != trained.bundle.manifest.files["model.onnx"]
    assert other.bundle.grid == trained.bundle.grid


def test_the_graph_takes_and_gives_what_the_manifest_says(trained):
    check_signature(trained.bundle.manifest, trained.bundle.model)

    assert [port.name for port in trained.bundle.manifest.outputs] == ["score", "decision", "confidence"]


def test_the_golden_outputs_come_out(trained):
    golden = trained.bundle.manifest.golden

    assert golden_disagreement(golden, OnnxModel(trained.bundle.model)) == ""
    assert set(golden.decision) == {True, False}
    assert any(None in row for row in golden.inputs)


def test_golden_outputs_tell_another_model(trained):
    golden = trained.bundle.manifest.golden
    flipped = replace(golden, decision=tuple(not decision for decision in golden.decision))
    moved = replace(golden, score=tuple(score + 0.01 for score in golden.score))

    assert "16 golden decisions differ" in golden_disagreement(flipped, OnnxModel(trained.bundle.model))
    assert "score differs by 0.01" in golden_disagreement(moved, OnnxModel(trained.bundle.model))


def test_the_bundle_is_small_and_quick(trained):
    # Far from the limits of a small box; the exact figures are the benchmark's.
    assert trained.bundle.size < 1_100_000
    assert trained.timing.onnx_p50_ms * 2 < trained.timing.reference_p50_ms


def test_quality_is_judged_on_what_came_later(trained):
    training, holdout = trained.split.training, trained.split.holdout

    assert training.at_ms.max() < holdout.at_ms.min() - 60_000
    assert trained.quality["normal_kept"] > 0.95
    assert 0 <= trained.quality["recall"] <= 1


def test_a_gateways_counts_of_the_same_data_equal_the_baselines(trained):
    reference = trained.split.training.rows(trained.split.training.healthy)
    windows = []
    for number in range(len(reference.devices)):
        sketch = Sketch(trained.bundle.grid, window_ms=60_000)
        rows = reference.device == number
        for at_ms, matrix in zip(
            np.array_split(reference.at_ms[rows], 37), np.array_split(reference.matrix[rows], 37), strict=True
        ):
            windows += sketch.add(at_ms, matrix)
        windows += sketch.flush()
    counted = merge([window.tally for window in windows])

    baseline = trained.bundle.baseline
    assert baseline.samples == counted.samples
    for row, feature in enumerate(baseline.features):
        assert list(feature.counts) == counted.counts[row].tolist()
        assert feature.missing == counted.missing[row]
        assert feature.out_of_range == counted.out_of_range[row]
        assert (feature.min, feature.max) == (counted.min[row], counted.max[row])
        assert feature.mean == pytest.approx(counted.mean[row], rel=1e-12)


def test_a_retrain_counts_on_the_grid_of_its_pipeline(trained, machines, keys):
    coarse = make_grid(pipeline_named("machine/1"), machines.matrix, bins=8)

    retrained = train_release(machines, Order(model="bearing", version="2"), [keys.signer], grid=coarse)

    assert retrained.bundle.grid == coarse
    assert retrained.bundle.baseline.grid_id == coarse.grid_id
    assert retrained.bundle.baseline.baseline_id != trained.bundle.baseline.baseline_id


def test_a_release_begins_as_a_candidate(trained):
    release = release_of(
        trained.bundle, metrics_of(trained), bundle_url="http://x/", created_ms=1, created_by="ann", request_id="r1"
    )

    assert release.stage is ReleaseStage.CANDIDATE
    assert (release.bundle_sha256, release.bundle_bytes) == (trained.bundle.sha256, len(trained.content))
    assert release.manifest == trained.bundle.envelope


def test_rules_leave_healthy_data_alone(trained, machines):
    healthy = machines.rows(machines.healthy)
    names = list(pipeline_named("machine/1").feature_names)

    for rule in trained.bundle.manifest.rules:
        values = healthy.matrix[:, names.index(rule.feature)]
        values = values[np.isfinite(values)]
        assert ((values < rule.low) | (values > rule.high)).mean() < 0.005, rule.feature


def test_silent_devices_are_left_out_and_named(machines, keys):
    stuck = machines.matrix.copy()
    stuck[machines.device == 1, 0] = 61.5

    trained = train_release(replace(machines, matrix=stuck), Order(model="bearing", version="1"), [keys.signer])

    assert trained.left_out == ("machine-1",)
    assert "machine-1" not in {trained.split.training.devices[n] for n in np.unique(trained.split.training.device)}


def test_too_few_rows_are_refused(machines, keys):
    few = machines.rows(np.arange(len(machines)) % 20 == 0)

    with pytest.raises(DataRefusedError, match=r"enough data: .* vectors to learn from; wanted 500"):
        train_release(few, Order(model="bearing", version="1"), [keys.signer])


def test_an_unknown_algorithm_is_answered_with_the_known_ones(machines, keys):
    with pytest.raises(UnknownModelKindError, match=r"unknown model 'oracle'; known: .*isolation_forest"):
        train_release(machines, Order(model="m", version="1", algorithm="oracle"), [keys.signer])


@pytest.mark.parametrize(("model", "version"), [("../press", "1"), ("", "1"), ("press", "1/2"), ("pr\ness", "1")])
def test_a_name_that_no_release_can_have_is_refused_before_training(model, version):
    with pytest.raises(TrainerError, match="wanted a name without a slash"):
        Order(model=model, version=version)
