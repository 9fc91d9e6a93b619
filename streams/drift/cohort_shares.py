"""What one partition adds to cohorts: its devices with a label in common, added up.

That follows from the rings alone, so whoever restores the rings tells the same shares again.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from schemas.drift_scores import CohortPane
from streams.drift.engine import Engine
from streams.drift.kernels import add_up
from streams.drift.windows import Rows

__all__ = ["MOST_NAMED", "Cohort", "shares_by_partition", "shares_of"]

MODEL = "model"
# Devices that a share, or an alert, lists by name; the others are counted.
MOST_NAMED = 500
_NO_LABELS: Mapping[str, str] = {}


class Cohort(NamedTuple):
    """Devices with a label in common that run one model: only those are compared with one baseline."""

    name: str
    model_id: str
    grid_id: str


def shares_of(
    engine: Engine,
    due: Sequence[tuple[int, int]],
    names: Sequence[str],
    labels: Mapping[str, Mapping[str, str]],
    *,
    partition: int,
) -> list[CohortPane]:
    """Add up panes of the fast ring over the devices of each cohort, by labels of these names.

    `due` are panes with the time by which their windows had arrived; `labels` are those of each device, and `model` is
    one of every device.
    """
    return shares_by_partition(engine, {partition: due}, names, labels, partition_of=lambda _: partition)


def shares_by_partition(
    engine: Engine,
    due: Mapping[int, Sequence[tuple[int, int]]],
    names: Sequence[str],
    labels: Mapping[str, Mapping[str, str]],
    *,
    partition_of: Callable[[str], int],
) -> list[CohortPane]:
    """Add up the same of an engine that holds the devices of several partitions; `due` is by partition."""
    members = _members(engine, names, labels, partition_of) if any(due.values()) else {}
    shares = (
        _share(engine, cohort, rows, pane, partition, as_of_ms)
        for partition, panes in due.items()
        for pane, as_of_ms in panes
        for cohort, rows in members.get(partition, {}).items()
    )
    return [share for share in shares if share is not None]


def _members(
    engine: Engine,
    names: Sequence[str],
    labels: Mapping[str, Mapping[str, str]],
    partition_of: Callable[[str], int],
) -> dict[int, dict[Cohort, Rows]]:
    members: dict[int, dict[Cohort, list[int]]] = {}
    for device, row in sorted(engine.presence.roster.row_of.items(), key=lambda item: item[1]):
        group = engine.group_of[row]
        if group is None:
            continue
        mine, beside = labels.get(device, _NO_LABELS), members.setdefault(partition_of(device), {})
        for name in names:
            value = group.against.model_id if name == MODEL else mine.get(name)
            if value:
                cohort = Cohort(f"{name}={value}", group.against.model_id, engine.grid_id)
                beside.setdefault(cohort, []).append(row)
    return {
        partition: {cohort: np.array(rows, np.intp) for cohort, rows in beside.items()}
        for partition, beside in members.items()
    }


def _share(engine: Engine, cohort: Cohort, rows: Rows, pane: int, partition: int, as_of_ms: int) -> CohortPane | None:
    features, bins = engine.shape
    samples, counts = np.zeros(len(rows), np.int64), np.zeros((bins, features), np.int64)
    missing, outside = np.zeros(features, np.int64), np.zeros(features, np.int64)
    mean, m2 = np.zeros(features), np.zeros(features)
    if not add_up(engine.fast.panes, rows, pane, samples, counts, missing, outside, mean, m2):
        return None
    most = np.iinfo(np.uint32).max
    devices = sorted(engine.presence.roster.names[row] for row in rows[samples > 0].tolist())
    return CohortPane(
        cohort=cohort.name,
        model_id=cohort.model_id,
        grid_id=cohort.grid_id,
        source_partition=partition,
        pane_start_ms=pane * engine.fast.pane_ms,
        pane_ms=engine.fast.pane_ms,
        devices=tuple(devices[:MOST_NAMED]),
        device_count=len(devices),
        as_of_ms=as_of_ms,
        samples=int(samples.sum()),
        counts=np.minimum(counts.T, most).astype("<u4").tobytes(),
        missing=np.minimum(missing, most).astype("<u4").tobytes(),
        out_of_range=np.minimum(outside, most).astype("<u4").tobytes(),
        mean=np.where(counts.sum(axis=0) > 0, mean, np.nan).astype("<f8").tobytes(),
        m2=m2.astype("<f8").tobytes(),
    )
