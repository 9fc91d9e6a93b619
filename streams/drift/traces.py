"""Which windows of a run an alert stands on, as their traces."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from schemas.tracing import Context, context_in, is_tracing
from streams.kafka import Run

__all__ = ["windows_by_device"]


def windows_by_device(run: Run | None) -> Mapping[str, Sequence[Context]]:
    """Return the traces of a run's windows, by device_id; of nothing while nobody traces."""
    found: dict[str, list[Context]] = defaultdict(list)
    if run is not None and is_tracing():
        for key, headers in zip(run.keys, run.headers, strict=True):
            if key is not None and (context := context_in(headers)):
                found[key.decode(errors="replace")].append(context)
    return found
