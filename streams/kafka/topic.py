"""Declaring a bulk topic."""

import sys
from typing import Any

import faust

__all__ = ["BulkTopic", "bulk_topic"]


class BulkTopic(faust.Topic):
    """A topic whose records reach its agents as runs (see `accepted_runs`)."""

    def _compile_decode(self) -> None:
        """Nothing to compile: `decode` decodes nothing."""

    async def decode(self, message: Any, *, propagate: bool = False) -> faust.EventT[Any]:
        return self._create_event(None, message, None, message=message)


def bulk_topic(app: faust.App, *names: str) -> BulkTopic:
    """Declare the topic (or topics) that an agent of `app` reads in runs.

    >>> stats = bulk_topic(app, "telemetry.feature-stats")  # doctest: +SKIP
    """
    # The consumer bounds what waits in the queue, partition by partition; the queue itself never blocks.
    return BulkTopic(app, topics=names, maxsize=sys.maxsize)
