"""Records as JSON that browsers and Redis hold; what JSON has no word for is null."""

import json
import math
from collections.abc import Iterable
from typing import Any

from schemas.record import as_plain

__all__ = ["as_jsonable", "as_text"]


def as_jsonable(record: Any, *, without: Iterable[str] = ()) -> dict[str, Any]:
    """Return the record's fields as JSON has them, some left out; NaN and the infinities are None."""
    plain = as_plain(record)
    for name in without:
        del plain[name]
    finite: dict[str, Any] = _finite(plain)
    return finite


def as_text(plain: Any) -> str:
    """Return compact JSON of what may hold NaN and infinities.

    >>> as_text({"psi": float("nan"), "ks": 0.5})
    '{"psi":null,"ks":0.5}'
    """
    return json.dumps(_finite(plain), separators=(",", ":"), ensure_ascii=False)


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list():
            return [_finite(item) for item in value]
        case bytes():
            return value.hex()
        case _:
            return value
