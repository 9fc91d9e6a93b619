"""Where a reader is on a topic, to be kept and to go on from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas.feeds.errors import PositionError

__all__ = ["Position", "Reached"]


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a reader is on one partition."""

    next_offset: int
    # Whatever is still to be read was written at this moment or later.
    as_of_ms: int


@dataclass(frozen=True, slots=True)
class Position:
    """How far a reader is on a topic; the topic's id tells it from a later one of the same name.

    >>> at = Position("Zk3ZH0E-S3mqLE1Hbb5jWg", {0: Reached(7, 1_700_000_000_000)})
    >>> Position.from_json(at.to_json()) == at
    True
    """

    topic_id: str
    partitions: Mapping[int, Reached]

    def to_json(self) -> str:
        partitions = {str(number): [at.next_offset, at.as_of_ms] for number, at in self.partitions.items()}
        return json.dumps({"topic_id": self.topic_id, "partitions": partitions})

    @classmethod
    def from_json(cls, text: str | bytes) -> "Position":
        try:
            return _position(json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            shown = repr(text[:80])
            raise PositionError(f"{shown} ({type(error).__name__})", "the text that Position.to_json gave") from None


def _position(plain: Any) -> Position:
    partitions = {}
    for number, (next_offset, as_of_ms) in plain["partitions"].items():
        if type(next_offset) is not int or type(as_of_ms) is not int or next_offset < 0 or int(number) < 0:
            raise ValueError("not an offset")
        partitions[int(number)] = Reached(next_offset, as_of_ms)
    if not isinstance(plain["topic_id"], str):
        raise TypeError("topic_id")
    return Position(plain["topic_id"], partitions)
