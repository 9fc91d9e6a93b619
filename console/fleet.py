"""The whole fleet in memory, for lists and maps: read once, then device by device as the views tell of changes."""

import asyncio
import bisect
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from console.views import Views

__all__ = ["Fleet", "Row"]

T = TypeVar("T")

_FRESH_FOR_S = 0.5
_HASHES = ("fleet", "beats", "drift")
_READ_AT_ONCE = 500
_MOST_DERIVED = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A device as lists show it."""

    device_id: str
    state: str = "unknown"
    model_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    last_seen_ms: int = 0
    safe_mode: bool = False
    # "not_enough_data" until there are scores.
    verdict: str = "not_enough_data"
    scored_ms: int = 0
    # By feature, for those above the report floor; what is quiet is left out.
    psi: Mapping[str, float | None] = field(default_factory=dict)
    drifting: tuple[str, ...] = ()

    @property
    def worst_psi(self) -> float:
        return max((value for value in self.psi.values() if value is not None), default=0.0)

    def shown(self) -> dict[str, Any]:
        return {
            "device_id": self.device_id,
            "state": self.state,
            "model_id": self.model_id,
            "labels": dict(self.labels),
            "groups": list(self.groups),
            "last_seen_ms": self.last_seen_ms,
            "safe_mode": self.safe_mode,
            "verdict": self.verdict,
            "scored_ms": self.scored_ms,
            "drifting": list(self.drifting),
            "worst_psi": round(self.worst_psi, 4),
        }


class Fleet:
    """All rows by device_id; `refresh` brings them up to date, at most twice a second."""

    def __init__(self, views: Views) -> None:
        self.rows: dict[str, Row] = {}
        # The same rows' ids, sorted.
        self.ids: list[str] = []
        # Rises with every change.
        self.version = 0
        self._views = views
        self._derived: dict[object, Any] = {}
        self._derived_of = -1
        self._built = ""
        self._place = "0-0"
        self._refreshed_s = float("-inf")
        self._refreshing = asyncio.Lock()

    async def refresh(self) -> None:
        if time.monotonic() - self._refreshed_s < _FRESH_FOR_S:
            return
        async with self._refreshing:
            if time.monotonic() - self._refreshed_s < _FRESH_FOR_S:
                return
            built = await self._views.built()
            first, last = await self._views.change_bounds()
            if built != self._built or _place(self._place) < _place(first):
                await self._read_all(last)
                self._built = built
            elif _place(self._place) < _place(last):
                await self._read_changed()
            self._refreshed_s = time.monotonic()

    async def _read_all(self, place: str) -> None:
        texts = [await self._views.texts_of(name) for name in _HASHES]
        ids = set().union(*texts)
        rows = {}
        for number, device_id in enumerate(sorted(ids)):
            rows[device_id] = _row(device_id, *(_read(hash_.get(device_id)) for hash_ in texts))
            if number % _READ_AT_ONCE == 0:
                # Others are served meanwhile.
                await asyncio.sleep(0)
        self.rows, self.ids, self._place = rows, sorted(rows), place
        self.version += 1

    async def _read_changed(self) -> None:
        changed: dict[str, None] = {}
        place = self._place
        async for place, device_id in self._views.changes(self._place):  # noqa: B007 - the last one counts.
            changed[device_id] = None
        names = list(changed)
        for start in range(0, len(names), _READ_AT_ONCE):
            some = names[start : start + _READ_AT_ONCE]
            found = [await self._views.some_of(name, some) for name in _HASHES]
            for device_id in some:
                self._put(device_id, [hash_.get(device_id, {}) for hash_ in found])
        self._place = place
        self.version += 1

    def _put(self, device_id: str, found: list[Mapping[str, Any]]) -> None:
        known = device_id in self.rows
        if any(found):
            self.rows[device_id] = _row(device_id, *found)
            if not known:
                bisect.insort(self.ids, device_id)
        elif known:
            del self.rows[device_id]
            del self.ids[bisect.bisect_left(self.ids, device_id)]

    def derived(self, key: object, make: Callable[[], T]) -> T:
        """Return what `make` makes of the rows, made once for all who ask until a row changes."""
        if self._derived_of != self.version or len(self._derived) >= _MOST_DERIVED:
            self._derived, self._derived_of = {}, self.version
        if key not in self._derived:
            self._derived[key] = make()
        found: T = self._derived[key]
        return found

    def count(self, key: str) -> dict[str, int]:
        return dict(Counter(getattr(row, key) for row in self.rows.values()))

    def chosen(
        self,
        *,
        state: str = "",
        model: str = "",
        verdict: str = "",
        text: str = "",
        labels: Iterable[tuple[str, str]] = (),
    ) -> list[Row]:
        """Return the rows that fit everything asked for, by id."""
        wanted = tuple(labels)
        text = text.lower()
        return [
            row
            for row in map(self.rows.__getitem__, self.ids)
            if (not state or row.state == state)
            and (not model or row.model_id == model)
            and (not verdict or row.verdict == verdict)
            and (not text or text in row.device_id.lower())
            and all(row.labels.get(name) == value for name, value in wanted)
        ]


def _row(device_id: str, device: Mapping[str, Any], beat: Mapping[str, Any], drift: Mapping[str, Any]) -> Row:
    return Row(
        device_id=device_id,
        state=device.get("state", "unknown"),
        model_id=beat.get("model_id") or device.get("model_id", ""),
        labels=device.get("labels", {}),
        groups=tuple(device.get("groups", ())),
        last_seen_ms=device.get("last_seen_ms", 0),
        safe_mode=beat.get("safe_mode", False),
        verdict=drift.get("verdict", "not_enough_data"),
        scored_ms=drift.get("at_ms", 0),
        psi=drift.get("psi", {}),
        drifting=tuple(drift.get("drifting", ())),
    )


def _read(text: str | None) -> Mapping[str, Any]:
    found: Mapping[str, Any] = {} if text is None else json.loads(text)
    return found


def _place(text: str) -> tuple[int, int]:
    """Return a stream's id so that places compare."""
    at_ms, _, number = text.partition("-")
    return int(at_ms), int(number or 0)
