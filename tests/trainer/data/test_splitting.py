"""What is learned from and what judges, in one world and in two."""

import numpy as np
import pytest

from trainer.data import Dataset, Part, split_by_time
from trainer.data.splitting import in_equal_parts
from trainer.errors import DatasetError


def vectors(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).normal(size=(rows, 16)).astype(np.float32)


def seconds(rows: int) -> np.ndarray:
    return np.arange(rows) * 1000


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


def test_both_worlds_are_learned_from_and_judge():
    changed_ms = 900_000
    dataset = Dataset.of("machine/1", [Part("a", seconds(1000), vectors(1000), None)])

    split = split_by_time(dataset, holdout=0.2, gap_ms=5_000, changed_ms=changed_ms)

    learned, judging = split.training.at_ms, split.holdout.at_ms
    assert (learned[learned < changed_ms].max(), learned[learned >= changed_ms].min()) == (714_000, 905_000)
    assert (judging[judging < changed_ms].min(), judging[judging < changed_ms].max()) == (720_000, 899_000)
    assert judging[judging >= changed_ms].min() - learned.max() > 5_000
    assert judging.max() == 999_000


@pytest.mark.parametrize("changed_ms", [0, -1, 10**9])
def test_a_change_outside_of_the_data_splits_nothing(changed_ms):
    dataset = Dataset.of("machine/1", [Part("a", seconds(1000), vectors(1000), None)])

    split = split_by_time(dataset, holdout=0.2, changed_ms=changed_ms)

    assert split.training.fingerprint() == split_by_time(dataset, holdout=0.2).training.fingerprint()


def test_the_past_weighs_no_more_than_what_came_since():
    labels = np.full(1000, np.nan)
    labels[:7] = 1
    dataset = Dataset.of("machine/1", [Part("a", seconds(1000), vectors(1000), labels)])

    even = in_equal_parts(dataset, 900_000)

    past = even.at_ms < 900_000
    assert (past.sum(), (~past).sum()) == (100, 100)
    assert even.anomalous.sum() == 7
    assert np.diff(even.at_ms[past][7:]).max() <= 10_000


@pytest.mark.parametrize("changed_ms", [0, 400_000, 10**9])
def test_nothing_is_thinned_where_the_past_is_short_or_nothing_came_since(changed_ms):
    dataset = Dataset.of("machine/1", [Part("a", seconds(1000), vectors(1000), None)])

    assert len(in_equal_parts(dataset, changed_ms)) == 1000
