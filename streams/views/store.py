"""The views in Redis: a batch of writes and the place it was read up to go in together, or not at all.

A Redis that lost the views holds no build, or another one than the writer knows. Nothing is written into that: what is
missing would never be read again.
"""

import uuid
from collections.abc import Iterable
from typing import Any

import redis

from schemas.errors import DriftlineError
from schemas.feeds import Position
from streams.views.writes import Append, Forget, Put, Remember, Sort, Take, Write

__all__ = ["ViewStore", "ViewsLostError"]

# It rises with what the views hold: after an update they are read anew.
_VERSION = "4"
_POSITIONS = "positions"
# Whose change readers that hold the whole fleet want to hear of, device by device; and when they must begin anew.
_FLEET_WIDE = frozenset({"fleet", "beats", "drift"})
_CHANGES, _CHANGES_KEPT = "changes", 100_000
_BUILT = "built"

# A backlog arrives after what is newer; the times of what stands are kept in a hash beside it.
_PUT_IF_NEWER = """
local standing = redis.call('HGET', KEYS[2], ARGV[1])
if standing and tonumber(standing) > tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return 1
"""

# What a member counted for is kept beside the tally, so that a repeat counts nothing twice.
_SORT = """
local before = redis.call('HGET', KEYS[2], ARGV[1])
if before == ARGV[2] then return 0 end
for box in string.gmatch(before or '', '[^\\n]+') do
  if redis.call('HINCRBY', KEYS[1], box, -1) <= 0 then redis.call('HDEL', KEYS[1], box) end
end
for box in string.gmatch(ARGV[2], '[^\\n]+') do redis.call('HINCRBY', KEYS[1], box, 1) end
if ARGV[2] == '' then redis.call('HDEL', KEYS[2], ARGV[1]) else redis.call('HSET', KEYS[2], ARGV[1], ARGV[2]) end
return 1
"""


class ViewsLostError(DriftlineError):
    """Redis no longer holds what was written, whether it was emptied or came back without it."""


class ViewStore:
    """All keys begin with the fleet's prefix, so that fleets can share a Redis."""

    def __init__(self, client: "redis.Redis", *, prefix: str) -> None:
        self._client = client
        self._prefix = f"{prefix}driftline:"
        self._put_if_newer = client.register_script(_PUT_IF_NEWER)
        self._sort = client.register_script(_SORT)
        self._build = b""

    def begin(self) -> None:
        """Join the present build, or begin one; what another version made is forgotten."""
        if not self._standing().startswith(f"{_VERSION}:".encode()):
            self.clear()
            # Of several workers that begin at once, all join the first one's.
            self._client.set(self._key(_BUILT), f"{_VERSION}:{uuid.uuid4().hex}", nx=True)
        self._build = self._standing()

    def require_build(self) -> None:
        """Raise `ViewsLostError` where the build that was begun is gone."""
        if self._standing() != self._build:
            raise ViewsLostError("the views are gone from Redis")

    def position(self, topic: str) -> Position | None:
        """Return how far the views hold a topic; nothing after Redis has lost its data, so that it is read anew."""
        text = self._client.hget(self._key(_POSITIONS), topic)
        return None if text is None else Position.from_json(text)

    def apply(self, topic: str, writes: Iterable[Write], position: Position) -> None:
        """Carry out writes; raise `ViewsLostError`, and write nothing, where the build that was begun is gone."""
        changed: dict[str, None] = {}
        with self._client.pipeline(transaction=True) as batch:
            batch.watch(self._key(_BUILT))  # type: ignore[no-untyped-call]
            self.require_build()
            batch.multi()
            for write in writes:
                self._queue(batch, write)
                if isinstance(write, Put | Take) and write.hash in _FLEET_WIDE:
                    changed[write.field] = None
            for device_id in changed:
                batch.xadd(self._key(_CHANGES), {"device": device_id}, maxlen=_CHANGES_KEPT)
            batch.hset(self._key(_POSITIONS), topic, position.to_json())
            try:
                batch.execute()
            except redis.WatchError as gone:
                raise ViewsLostError("the views went from Redis while they were written") from gone

    def clear(self) -> None:
        """Forget everything, places included."""
        for key in self._client.scan_iter(match=f"{self._prefix}*", count=1000):
            self._client.unlink(key)

    def _standing(self) -> bytes:
        # Its stubs cannot tell decoded answers from raw ones.
        found: Any = self._client.get(self._key(_BUILT))
        return found or b""

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
            case Sort(tally, member, boxes):
                keys = [self._key(f"tally:{tally}"), self._key(f"tally:{tally}:of")]
                self._sort(keys=keys, args=[member, "\n".join(boxes)], client=batch)
            case Append(name, at_ms, member, kept):
                batch.zadd(self._key(name), {member: at_ms})
                batch.zremrangebyrank(self._key(name), 0, -kept - 1)
            case Remember(name, member):
                batch.sadd(self._key(name), member)
            case Forget(name, member, about):
                batch.srem(self._key(name), member)
                batch.unlink(*map(self._key, about))

    def _key(self, name: str) -> str:
        return self._prefix + name
