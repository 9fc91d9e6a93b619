"""How far an app is, by partition."""

from collections.abc import Mapping
from typing import Any

import faust

__all__ = ["fronts"]


def fronts(app: faust.App, topic: str) -> Mapping[int, int]:
    """Return, by partition of a bulk topic that is the app's now: up to which offset all is done."""
    consumer: Any = app.consumer
    standings = [] if consumer is None else consumer.standings()
    return {one.partition: one.front for one in standings if one.topic == topic}
