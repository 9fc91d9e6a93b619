"""Live updates by server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from console.api.context import Context, Here, Viewer
from console.live import KINDS
from console.problems import ProblemError

__all__ = ["router"]

router = APIRouter(tags=["live"])

_BEAT_S = 15.0
_MOST_LISTENERS = 2_000


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def events(
    request: Request,
    here: Here,
    _who: Viewer,
    kinds: Annotated[str, Query(max_length=200, description=f"With commas: {', '.join(KINDS)}.")] = "",
    device: Annotated[str, Query(max_length=400, description="Also its scores.")] = "",
    last_event_id: Annotated[str, Header(max_length=100)] = "",
) -> StreamingResponse:
    """Follow what changes; `reset` says that something was missed, and that it is time to read anew."""
    wanted = frozenset(kinds.split(",")) if kinds else frozenset(KINDS)
    if unknown := wanted - KINDS.keys():
        raise ProblemError(
            422, "unknown-kind", f"kinds: unknown {', '.join(sorted(unknown))}; known: {', '.join(KINDS)}"
        )
    if here.hub.listeners >= _MOST_LISTENERS:
        raise ProblemError(503, "too-many-listeners", "too many streams are open", headers={"Retry-After": "30"})
    return StreamingResponse(
        _stream(request, here, wanted, device, last_event_id),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _stream(
    request: Request, here: Context, kinds: frozenset[str], device: str, after: str
) -> AsyncIterator[bytes]:
    with here.hub.listener(kinds, device, after) as listener:
        async for frame in here.hub.frames(listener, beat_s=_BEAT_S):
            yield frame
            if frame.startswith(b":"):
                # Whoever lost the right to listen is cut off with the next beat.
                try:
                    await here.guard.principal(request)
                except ProblemError:
                    return
