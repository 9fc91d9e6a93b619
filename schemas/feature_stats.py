"""What one device saw in one window: the summary that every drift score stands on."""

from typing import Annotated

from schemas.fields import Count, Float32s, Millis, Total, Uint32s, Uuid
from schemas.record import record

__all__ = ["FeatureStats"]


@record(namespace="telemetry")
class FeatureStats:
    """One device's window over all features of its pipeline, as flat little-endian arrays."""

    device_id: Annotated[str, "The device; equals the record's key."]
    model_id: Annotated[str, "Model that ran during the window, as name/version."]
    pipeline: Annotated[str, "Feature pipeline that made the vectors, as name/version."]
    grid_id: Annotated[str, "Grid whose bins are counted; gives the order of features and the number of bins."]
    boot_id: Annotated[Uuid, "One life of the gateway's counter `seq`."]
    seq: Annotated[Total, "Counts a device's windows within a boot_id, from 0; with both a window is known."]
    window_start_ms: Annotated[Millis, "Start of the window, device clock, inclusive."]
    window_end_ms: Annotated[Millis, "End of the window, device clock, exclusive."]
    samples: Annotated[Total, "Feature vectors in the window, missing values included; 0 or more."]
    counts: Annotated[Uint32s, "Samples per bin, uint32, features x bins, row by row in the grid's order."]
    missing: Annotated[Uint32s, "Samples without a usable value (absent, NaN, infinite), uint32 per feature."]
    out_of_range: Annotated[Uint32s, "Samples outside the grid's declared range, uint32 per feature; binned too."]
    mean: Annotated[Float32s, "Mean of the usable values, float32 per feature; NaN where there are none."]
    m2: Annotated[Float32s, "Sum of squared differences from the mean, float32 per feature."]
    min: Annotated[Float32s, "Smallest usable value, float32 per feature; NaN where there are none."]
    max: Annotated[Float32s, "Largest usable value, float32 per feature; NaN where there are none."]
    windows: Annotated[Count, "Device windows that are merged in this record; above 1 in roll-ups."] = 1
    arrival_hour_ms: Annotated[Millis, "Roll-ups: the hour in which the merged records arrived; 0 elsewhere."] = 0
