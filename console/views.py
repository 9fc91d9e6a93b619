"""Reading the views: one round trip a question, and an error that says so when Redis is away."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import redis.asyncio as redis

__all__ = ["Views"]

_TIMEOUT_S = 2.0
_MOST_IMMUTABLE = 256
_LATELY_S = 0.25


class Views:
    """What `driftline worker views` keeps, under the names that streams/views/projections.py lists."""

    def __init__(self, url: str, *, prefix: str) -> None:
        # Its stubs cannot tell decoded answers from raw ones.
        self._client: Any = redis.Redis.from_url(
            url,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            decode_responses=True,
            max_connections=64,
        )
        self._prefix = f"{prefix}driftline:"
        self._lately: dict[str, tuple[float, dict[str, Any]]] = {}
        self._reading: dict[str, asyncio.Lock] = {}
        # Grids and baselines are named by their content, so what was read once stays true.
        self._immutable: dict[tuple[str, str], Any] = {}

    async def close(self) -> None:
        await self._client.aclose()

    async def ping(self) -> None:
        await self._client.ping()

    async def built(self) -> str:
        """Return the name of the present build of the views; empty where none was ever begun."""
        built: str | None = await self._client.get(self._key("built"))
        return built or ""

    async def all_of(self, name: str) -> dict[str, Any]:
        """Return a hash by field."""
        return {field: json.loads(text) for field, text in (await self._hash(name)).items()}

    async def lately(self, name: str) -> dict[str, Any]:
        """Return a hash as it was a moment ago: many who look at the same list have it read once. Not to be changed."""
        async with self._reading.setdefault(name, asyncio.Lock()):
            known = self._lately.get(name)
            if known is None or time.monotonic() - known[0] > _LATELY_S:
                known = self._lately[name] = (time.monotonic(), await self.all_of(name))
            return known[1]

    async def texts_of(self, name: str) -> dict[str, str]:
        return await self._hash(name)

    async def text_of(self, name: str, field: str) -> str | None:
        found: str | None = await self._client.hget(self._key(name), field)
        return found

    async def one_of(self, name: str, field: str) -> Any | None:
        text = await self.text_of(name, field)
        return None if text is None else json.loads(text)

    async def some_of(self, name: str, fields: Iterable[str]) -> dict[str, Any]:
        """Return those fields of a hash that are there."""
        fields = list(fields)
        texts = await self._client.hmget(self._key(name), fields) if fields else []
        return {field: json.loads(text) for field, text in zip(fields, texts, strict=True) if text is not None}

    async def each(self, names: Iterable[str], field: str) -> list[Any | None]:
        """Return one field of several hashes, in one round trip."""
        async with self._client.pipeline(transaction=False) as batch:
            for name in names:
                batch.hget(self._key(name), field)
            return [None if text is None else json.loads(text) for text in await batch.execute()]

    async def tallies(self, *kinds: str) -> list[dict[str, int]]:
        """Return how many there are of each kind by box, such as `severity:high`, in one round trip."""
        async with self._client.pipeline(transaction=False) as batch:
            for kind in kinds:
                batch.hgetall(self._key(f"tally:{kind}"))
            return [{box: int(count) for box, count in tally.items()} for tally in await batch.execute()]

    async def members(self, name: str) -> set[str]:
        found: set[str] = await self._client.smembers(self._key(name))
        return found

    async def latest(self, name: str, *, limit: int, before_ms: int | None = None) -> list[Any]:
        """Return the latest members of a sorted set, newest first, up to and with `before_ms`."""
        return [json.loads(text) for text in await self.latest_texts(name, limit=limit, before_ms=before_ms)]

    async def latest_texts(self, name: str, *, limit: int, before_ms: int | None = None) -> list[str]:
        top = "+inf" if before_ms is None else str(before_ms)
        found: list[str] = await self._client.zrange(
            self._key(name), top, "-inf", desc=True, byscore=True, offset=0, num=limit
        )
        return found

    async def immutable(self, name: str, content_id: str) -> Any | None:
        """Return what a content id names, from memory where it was read before."""
        known = self._immutable.get((name, content_id))
        if known is None and content_id and (known := await self.one_of(name, content_id)) is not None:
            if len(self._immutable) >= _MOST_IMMUTABLE:
                self._immutable.clear()
            self._immutable[name, content_id] = known
        return known

    async def changes(self, after: str) -> AsyncIterator[tuple[str, str]]:
        """Give the devices whose row changed after a place in the stream of changes, with their places."""
        while True:
            found = await self._client.xrange(self._key("changes"), f"({after}", "+", count=5_000)
            for place, fields in found:
                yield place, fields["device"]
            if len(found) < 5_000:
                return
            after = found[-1][0]

    async def change_bounds(self) -> tuple[str, str]:
        """Return the first and the last place in the stream of changes; 0-0 where it is empty."""
        first = await self._client.xrange(self._key("changes"), count=1)
        last = await self._client.xrevrange(self._key("changes"), count=1)
        return (first[0][0] if first else "0-0"), (last[0][0] if last else "0-0")

    async def _hash(self, name: str) -> dict[str, str]:
        found: dict[str, str] = await self._client.hgetall(self._key(name))
        return found

    def _key(self, name: str) -> str:
        return self._prefix + name
