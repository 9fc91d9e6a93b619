"""What the bulk topics and their producer refuse or could not do."""

from collections.abc import Sequence
from typing import Any

from schemas.errors import DriftlineError

__all__ = ["BulkAppError", "DeliveryError", "FetchError", "UnfinishedRunError"]


class BulkAppError(DriftlineError):
    """An app asks for something that bulk topics do not go together with."""


class UnfinishedRunError(DriftlineError):
    """An agent left its loop with a run that is not done."""

    def __init__(self, *, topic: str, partition: int, start: int, end: int) -> None:
        super().__init__(
            f"the agent left its loop while working on {topic}[{partition}] {start}..{end}; nothing of it is committed",
            hint="an agent of a bulk topic loops for as long as the worker runs",
        )


class FetchError(DriftlineError):
    """A partition cannot be read, and waiting would not help."""

    def __init__(self, *, topic: str, partition: int, problem: str) -> None:
        super().__init__(f"{topic}[{partition}] cannot be read: {problem}")


class DeliveryError(DriftlineError):
    """Some records of a batch did not arrive; the others did."""

    def __init__(self, *, failed: Sequence[tuple[Any, Any]], sent: int) -> None:
        record, error = failed[0]
        super().__init__(
            f"{len(failed)} of {sent} records were not delivered; the first, key {record.key!r} "
            f"for {record.topic}: {error.str()}"
        )
        self.failed = tuple(failed)
        self.sent = sent
