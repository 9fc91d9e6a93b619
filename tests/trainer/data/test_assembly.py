"""Nothing from the future leaks in."""

import numpy as np

from schemas.sample import SampledBecause
from trainer.data.assembly import assemble


def assembled(samples, labels=(), **changes):
    return assemble("machine/1", samples, labels, **{"from_ms": 0, "to_ms": 100_000, "as_of_ms": 100_000, **changes})


def test_labels_are_joined_by_prediction(sample, label):
    found = assembled([sample(1), sample(2), sample(3)], [label(2, 1.0, 5000)])

    assert found.dataset.label.tolist()[1] == 1.0
    assert np.isnan(found.dataset.label[[0, 2]]).all()
    assert found.labels_used == 1


def test_a_label_that_was_learned_later_does_not_count(sample, label):
    labels = [label(1, 0.0, 5_000), label(1, 1.0, 50_000)]

    before, after = assembled([sample(1)], labels, as_of_ms=49_999), assembled([sample(1)], labels, as_of_ms=50_000)

    assert (before.dataset.label[0], after.dataset.label[0]) == (0.0, 1.0)


def test_the_newest_label_counts_in_whatever_order_they_came(sample, label):
    labels = [label(1, 1.0, 9_000), label(1, 0.0, 5_000)]

    assert assembled([sample(1)], labels).dataset.label[0] == 1.0
    assert assembled([sample(1)], labels[::-1]).dataset.label[0] == 1.0


def test_a_repeated_sample_counts_once(sample):
    found = assembled([sample(1), sample(1), sample(2)])

    assert (len(found.dataset), found.repeats) == (2, 1)


def test_what_was_seen_outside_the_stretch_is_left_out(sample):
    found = assembled([sample(1), sample(5), sample(9)], from_ms=2_000, to_ms=9_000)

    assert found.dataset.at_ms.tolist() == [5_000]


def test_excluded_devices_are_left_out(sample):
    found = assembled([sample(1), sample(2, device="broken")], excluded={"broken"})

    assert found.dataset.devices == ("a",)


def test_what_does_not_fit_is_counted(sample, label):
    found = assembled([sample(1), sample(2, pipeline="weather/1"), sample(3, features=b"\0" * 12)], [label(7, 1.0, 1)])

    assert (len(found.dataset), found.wrong_pipeline, found.wrong_length, found.labels_without_sample) == (1, 1, 1, 1)


def test_only_fair_samples_are_representative(sample):
    kept = [sample(1), sample(2, because=SampledBecause.ANOMALY), sample(3, because=SampledBecause.CONTEXT)]

    assert assembled(kept).dataset.representative.tolist() == [True, False, False]
    assert len(assembled(kept).dataset.reference) == 1
