"""What one digestion wants written, each key at most once: the newest record of a compacted topic is enough."""

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
    _state: dict[tuple[str, str], Any] = field(default_factory=dict)
    _log: list[tuple[str, str, Any]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._state) + len(self._log)

    def write(self, topic: str, record: Any) -> None:
        known = CATALOGUE[topic]
        # Most keys are one field, and there may be a million of them.
        key = getattr(record, known.key[0]) if len(known.key) == 1 else known.key_of(record)
        if known.cleanup is Cleanup.COMPACT:
            self._state[topic, key] = record
        else:
            self._log.append((topic, key, record))

    def forget(self, topic: str, key: str) -> None:
        self._state[topic, key] = None

    def take(self) -> list[Write]:
        """Return everything, state first, and be empty again."""
        writes = [Write(topic, key, record) for (topic, key), record in self._state.items()]
        writes += [Write(topic, key, record) for topic, key, record in self._log]
        self._state, self._log = {}, []
        return writes
