"""The audit log, as far back as the views hold it; `driftline audit` proves it and reads all of it."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from console.api.context import Here, Viewer
from console.api.paging import Cursor, Limit, page

__all__ = ["router"]

router = APIRouter(tags=["audit"])

_LOOKED_AT = 20_000


@router.get("/audit")
async def audit(
    here: Here,
    _who: Viewer,
    subject: Annotated[str, Query(max_length=400, description="A subject, or the beginning of one.")] = "",
    who: Annotated[str, Query(max_length=400)] = "",
    before_ms: Annotated[int | None, Query(ge=0, le=2**53)] = None,
    limit: Limit = 100,
    cursor: Cursor = "",
) -> dict[str, Any]:
    """List what was decided and done, the newest first."""
    filtered = bool(subject or who or cursor)
    found = await here.views.latest("audit", limit=_LOOKED_AT if filtered else limit + 1, before_ms=before_ms)
    chosen = [entry for entry in found if entry["subject"].startswith(subject) and (not who or entry["who"] == who)]
    chosen.sort(key=_by_time)
    return page(chosen, key=_by_time, cursor=cursor, limit=limit, show=lambda entry: entry)


def _by_time(entry: dict[str, Any]) -> tuple[int, str]:
    return (-entry["at_ms"], entry["id"])
