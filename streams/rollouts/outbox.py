"""What one digestion wants written, each key at most once: the newest record of a compacted topic is enough."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from schemas.catalogue import CATALOGUE, Cleanup

__all__ = ["Outbox", "Write"]


class Write(NamedTuple):
    """One record for a topic; without a record the key is forgotten."""

    topic: str
    key: str
    record: Any | None


@dataclass(slots=True)
class Outbox:
    # By topic, then by key.
    _state: defaultdict[str, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    _log: list[Write] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(map(len, self._state.values())) + len(self._log)

    def write(self, topic: str, record: Any) -> None:
        known = CATALOGUE[topic]
        key = known.key_of(record)
        if known.cleanup is Cleanup.COMPACT:
            self._state[topic][key] = record
        else:
            self._log.append(Write(topic, key, record))

    def forget(self, topic: str, key: str) -> None:
        self._state[topic][key] = None

    def take(self) -> list[Write]:
        """Return everything, state first, topic by topic, and be empty again."""
        writes = [Write(topic, key, record) for topic, by_key in self._state.items() for key, record in by_key.items()]
        writes += self._log
        self._state.clear()
        self._log = []
        return writes
