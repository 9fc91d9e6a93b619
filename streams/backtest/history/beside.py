"""What travels beside a topic, in its file's metadata: a file that came alone can then be judged by itself."""

import base64
import binascii
from collections.abc import Mapping

from streams.backtest.errors import HistoryError

__all__ = ["BESIDE", "from_metadata", "to_metadata"]

_KEY = "driftline.beside."
# What whoever replays a topic must know as well.
BESIDE: Mapping[str, tuple[str, ...]] = {
    "telemetry.feature-stats": (
        "models.grids", "models.baselines", "drift.policies", "drift.policy-applied", "drift.alerts", "fleet.devices",
        "operators.requests", "audit.log", "dead-letters",
    ),
    "telemetry.model-health": (
        "drift.policies", "drift.policy-applied", "drift.alerts", "operators.requests", "dead-letters",
    ),
}  # fmt: skip


def to_metadata(beside: Mapping[str, bytes]) -> dict[str, str]:
    """Return metadata that holds other topics' entries, each an Avro container."""
    return {f"{_KEY}{topic}": base64.b64encode(container).decode() for topic, container in beside.items()}


def from_metadata(metadata: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the containers that metadata holds, by topic."""
    try:
        return {
            key.removeprefix(_KEY): base64.b64decode(value, validate=True)
            for key, value in metadata.items()
            if key.startswith(_KEY)
        }
    except binascii.Error as error:
        raise HistoryError(f"metadata: found damaged base64 ({error})") from None
