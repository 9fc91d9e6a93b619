"""Samples and labels that devices and people sent, joined into data to learn from, as of a moment.

Nothing from the future leaks in: a label counts only if it was known at the moment; of several, the newest does.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from schemas.sample import Label, Sample, SampledBecause
from sensing import pipeline_named
from trainer.data.dataset import Dataset, Part

__all__ = ["Assembled", "assemble"]


@dataclass(frozen=True, eq=False)
class Assembled:
    """The data, and what could not be used of what was sent."""

    dataset: Dataset
    labels_used: int
    labels_without_sample: int
    wrong_pipeline: int
    wrong_length: int
    repeats: int


def assemble(
    pipeline: str,
    samples: Collection[Sample],
    labels: Collection[Label],
    *,
    from_ms: int,
    to_ms: int,
    as_of_ms: int,
    excluded: Collection[str] = (),
) -> Assembled:
    """Join what was seen within [from_ms, to_ms) with what was known of it at `as_of_ms`."""
    wanted = 4 * len(pipeline_named(pipeline).features)
    kept: dict[str, Sample] = {}
    wrong_pipeline = wrong_length = repeats = 0
    for sample in samples:
        if sample.device_id in excluded or not from_ms <= sample.at_ms < to_ms:
            continue
        if sample.pipeline != pipeline:
            wrong_pipeline += 1
        elif len(sample.features) != wanted:
            wrong_length += 1
        else:
            repeats += sample.prediction_id in kept
            kept[sample.prediction_id] = sample
    known = _newest_labels(labels, as_of_ms)
    return Assembled(
        dataset=Dataset.of(pipeline, _parts(kept, known)),
        labels_used=len(kept.keys() & known.keys()),
        labels_without_sample=len(known.keys() - kept.keys()),
        wrong_pipeline=wrong_pipeline,
        wrong_length=wrong_length,
        repeats=repeats,
    )


def _newest_labels(labels: Collection[Label], as_of_ms: int) -> dict[str, Label]:
    newest: dict[str, Label] = {}
    for label in labels:
        before = newest.get(label.prediction_id)
        if label.at_ms <= as_of_ms and (before is None or before.at_ms <= label.at_ms):
            newest[label.prediction_id] = label
    return newest


def _parts(kept: dict[str, Sample], known: dict[str, Label]) -> list[Part]:
    by_device: dict[str, list[Sample]] = {}
    for sample in kept.values():
        by_device.setdefault(sample.device_id, []).append(sample)
    return [
        Part(
            device=device,
            at_ms=np.array([sample.at_ms for sample in mine], dtype=np.int64),
            matrix=np.frombuffer(b"".join(sample.features for sample in mine), "<f4").reshape(len(mine), -1),
            label=np.array([_value(known.get(sample.prediction_id)) for sample in mine]),
            representative=np.array([sample.because is SampledBecause.UNIFORM for sample in mine]),
        )
        for device, mine in sorted(by_device.items())
    ]


def _value(label: Label | None) -> float:
    return float("nan") if label is None else label.value
