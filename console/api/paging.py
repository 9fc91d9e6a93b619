"""Pages: a place in a sorted list that survives what is added and removed meanwhile."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Query

from console.problems import ProblemError

__all__ = ["Cursor", "Limit", "page"]

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=1000, description="Most items of a page.")]
Cursor = Annotated[str, Query(max_length=2000, description="The `next` of the page before.")]


def page(
    items: Sequence[T], *, key: Callable[[T], Any], cursor: str, limit: int, show: Callable[[T], Any]
) -> dict[str, Any]:
    """Return one page of items that are sorted by `key`, which is unique and made of texts and numbers."""
    after = _read(cursor)
    try:
        rest = items if after is None else [item for item in items if key(item) > after]
    except TypeError:
        raise _foreign() from None
    shown = rest[:limit]
    following = _written(key(shown[-1])) if len(rest) > limit else None
    return {"items": [show(item) for item in shown], "total": len(items), "next": following}


def _written(key: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def _read(cursor: str) -> Any | None:
    if not cursor:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        raise _foreign() from None
    return tuple(found) if isinstance(found, list) else found


def _foreign() -> ProblemError:
    return ProblemError(422, "bad-cursor", "cursor: wanted the `next` of a page of this list")
