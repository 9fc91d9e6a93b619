"""Data keep to time: nothing that came later is learned from, and equal data are known as equal."""

from dataclasses import replace

import numpy as np
import pytest

from trainer.data import Dataset, Part, simulated
from trainer.data.truth import with_truth
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


def test_what_a_source_knows_of_trouble_counts():
    known = np.isin(np.arange(200), np.arange(50, 170))
    part = Part("a", seconds(200), vectors(200), labels(200, 50), troubled=known)

    dataset = Dataset.of("machine/1", [part, Part("b", seconds(9), vectors(9), labels(9, 3))])

    assert np.flatnonzero(dataset.troubled).tolist() == [*range(50, 170), *range(203, 209)]
    assert len(dataset.reference) == 80 + 3


def test_trouble_reaches_from_one_part_of_a_device_into_the_next():
    parts = [Part("a", seconds(50), vectors(50), labels(50, 49)), Part("a", seconds(50, 50), vectors(50), labels(50))]

    assert Dataset.of("machine/1", parts).settling.all(where=np.arange(100) >= 50)


def test_a_forecasts_truth_is_no_anomaly():
    truth = np.array([0.0, 1.0, 1.0, 2.5, 1.0])

    assert Dataset.of("machine/1", [Part("a", seconds(5), vectors(5), truth)]).healthy.all()


def test_what_came_true_hides_no_trouble_and_makes_none():
    weather = simulated("weather", devices=1, samples=300, trouble=0)
    warm = replace(weather, matrix=np.ones_like(weather.matrix))

    assert with_truth(warm, "temperature", 1).healthy.all()


def test_one_device_does_not_settle_another():
    dataset = Dataset.of(
        "machine/1",
        [Part("a", seconds(50), vectors(50), labels(50, 49)), Part("b", seconds(50, 50), vectors(50), None)],
    )

    assert not dataset.settling.any()


def test_vectors_of_another_pipeline_are_refused():
    with pytest.raises(DatasetError, match=r"\(10, 3\); machine/1 has 16 features"):
        Dataset.of("machine/1", [Part("a", seconds(10), np.zeros((10, 3)), None)])
