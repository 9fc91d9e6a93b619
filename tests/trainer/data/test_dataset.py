"""Data keep to time: nothing that came later is learned from, and equal data are known as equal."""

import numpy as np
import pytest

from trainer.data import Dataset, Part, split_by_time
from trainer.errors import DatasetError


def vectors(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).normal(size=(rows, 16)).astype(np.float32)


def seconds(rows: int, first: int = 0) -> np.ndarray:
    return (np.arange(rows) + first) * 1000


def labels(rows: int, *anomalous: int) -> np.ndarray:
    known = np.zeros(rows)
    known[list(anomalous)] = 1
    return known


def test_the_order_of_parts_changes_nothing():
    one, other = Part("a", seconds(50), vectors(50)), Part("b", seconds(40), vectors(40))

    forth, back = Dataset.of("machine/1", [one, other]), Dataset.of("machine/1", [other, one])

    assert forth.fingerprint() == back.fingerprint()
    assert forth.devices == ("a", "b")


@pytest.mark.parametrize("change", ["value", "label", "time", "device"])
def test_any_change_changes_the_fingerprint(change):
    matrix, at_ms, known, name = vectors(50), seconds(50), labels(50), "a"
    before = Dataset.of("machine/1", [Part(name, at_ms, matrix.copy(), known.copy())]).fingerprint()
    match change:
        case "value":
            matrix[3, 3] += 1
        case "label":
            known[3] = 1
        case "time":
            at_ms = at_ms + 1
        case "device":
            name = "b"

    assert Dataset.of("machine/1", [Part(name, at_ms, matrix, known)]).fingerprint() != before


def test_vectors_settle_for_as_long_as_the_pipeline_looks_back():
    dataset = Dataset.of("machine/1", [Part("a", seconds(200), vectors(200), labels(200, 50))])

    assert np.flatnonzero(dataset.settling).tolist() == list(range(51, 110))
    assert dataset.healthy.sum() == 200 - 60


def test_one_device_does_not_settle_another():
    dataset = Dataset.of(
        "machine/1",
        [Part("a", seconds(50), vectors(50), labels(50, 49)), Part("b", seconds(50, 50), vectors(50), None)],
    )

    assert not dataset.settling.any()


def test_held_out_data_come_later_with_a_gap():
    dataset = Dataset.of("machine/1", [Part("a", seconds(1000), vectors(1000), None)])

    split = split_by_time(dataset, holdout=0.2)

    assert split.holdout.at_ms.min() - split.training.at_ms.max() > 60_000
    assert len(split.holdout) == pytest.approx(200, abs=2)


@pytest.mark.parametrize("holdout", [0.0, 1.0, -1.0, 2.0])
def test_a_senseless_share_is_refused(holdout):
    dataset = Dataset.of("machine/1", [Part("a", seconds(10), vectors(10), None)])

    with pytest.raises(DatasetError, match="between 0 and 1"):
        split_by_time(dataset, holdout=holdout)


def test_nothing_cannot_be_split():
    with pytest.raises(DatasetError, match="no vectors"):
        split_by_time(Dataset.of("machine/1", []))


def test_vectors_of_another_pipeline_are_refused():
    with pytest.raises(DatasetError, match=r"\(10, 3\); machine/1 has 16 features"):
        Dataset.of("machine/1", [Part("a", seconds(10), np.zeros((10, 3)), None)])
