"""The views in Redis: a batch of writes and the place it was read up to go in together, or not at all."""

from collections.abc import Iterable

import redis

from schemas.feeds import Position
from streams.views.projections import Forget, Put, Remember, Take, Write

__all__ = ["ViewStore"]

_POSITIONS = "positions"

# A backlog arrives after what is newer; the times of what stands are kept in a hash beside it.
_PUT_IF_NEWER = """
local standing = redis.call('HGET', KEYS[2], ARGV[1])
if standing and tonumber(standing) > tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return 1
"""


class ViewStore:
    """All keys begin with the fleet's prefix, so that fleets can share a Redis."""

    def __init__(self, client: "redis.Redis", *, prefix: str) -> None:
        self._client = client
        self._prefix = f"{prefix}driftline:"
        self._put_if_newer = client.register_script(_PUT_IF_NEWER)

    def position(self, topic: str) -> Position | None:
        """Return how far the views hold a topic; nothing after Redis has lost its data, so that it is read anew."""
        text = self._client.hget(self._key(_POSITIONS), topic)
        return None if text is None else Position.from_json(text)

    def apply(self, topic: str, writes: Iterable[Write], position: Position) -> None:
        with self._client.pipeline(transaction=True) as batch:
            for write in writes:
                self._queue(batch, write)
            batch.hset(self._key(_POSITIONS), topic, position.to_json())
            batch.execute()

    def clear(self) -> None:
        """Forget everything, places included."""
        for key in self._client.scan_iter(match=f"{self._prefix}*", count=1000):
            self._client.unlink(key)

    def _queue(self, batch: "redis.client.Pipeline", write: Write) -> None:
        match write:
            case Put(name, field, value, None):
                batch.hset(self._key(name), field, value)
            case Put(name, field, value, at_ms):
                self._put_if_newer(
                    keys=[self._key(name), self._key(f"{name}:at")], args=[field, value, str(at_ms)], client=batch
                )
            case Take(name, field):
                batch.hdel(self._key(name), field)
            case Remember(name, member):
                batch.sadd(self._key(name), member)
            case Forget(name, member, about):
                batch.srem(self._key(name), member)
                batch.unlink(self._key(about), self._key(f"{about}:at"))

    def _key(self, name: str) -> str:
        return self._prefix + name
