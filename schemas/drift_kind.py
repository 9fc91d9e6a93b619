"""What drift alerts are called, and whether they speak of the world or of a sensor.

An alert's kind is one of `DriftKind`; under a policy of plain thresholds it is the name of the score that was too high.
"""

from enum import StrEnum

__all__ = ["Concern", "DriftKind", "concern_of"]


class DriftKind(StrEnum):
    """How a feature drifted."""

    MEAN_SHIFT = "mean_shift"
    VARIANCE_CHANGE = "variance_change"
    SHAPE_CHANGE = "shape_change"
    DEAD_SENSOR = "dead_sensor"
    STUCK_BIN = "stuck_bin"
    MISSING_RATE = "missing_rate"
    OUT_OF_RANGE = "out_of_range"
    UNSEEN_CATEGORY = "unseen_category"


class Concern(StrEnum):
    """Whom an alert is for."""

    # The world changed: a model may have to learn it.
    WORLD = "world"
    # A sensor is broken: it wants a repair, and nothing should be learned from it.
    SENSOR = "sensor"


def concern_of(kind: str) -> Concern | None:
    """Return what an alert of this kind speaks of; None for what is no drift, such as a rollout that failed.

    >>> concern_of("stuck_bin")
    <Concern.SENSOR: 'sensor'>
    >>> concern_of("psi")
    <Concern.WORLD: 'world'>
    >>> concern_of("device_offline") is None
    True
    """
    return _CONCERNS.get(kind)


_OF_THE_WORLD = (
    *(DriftKind.MEAN_SHIFT, DriftKind.VARIANCE_CHANGE, DriftKind.SHAPE_CHANGE),
    *("psi", "ks", "ks_upper", "ks_p", "kl_live_reference", "kl_reference_live", "js", "hellinger", "wasserstein"),
    *("mean_z", "variance_ratio", "variance_z", "chi_square", "g", "shape_z"),
)
_OF_SENSORS = (
    *(DriftKind.DEAD_SENSOR, DriftKind.STUCK_BIN, DriftKind.MISSING_RATE),
    *(DriftKind.OUT_OF_RANGE, DriftKind.UNSEEN_CATEGORY),
    *("missing_rate_change", "missing_z", "out_of_range_z", "unseen_z"),
)
_CONCERNS = {str(kind): Concern.WORLD for kind in _OF_THE_WORLD} | {str(kind): Concern.SENSOR for kind in _OF_SENSORS}
