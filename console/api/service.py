"""Routes about the console itself: alive, ready, figures, documentation."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from redis.exceptions import RedisError

from console.api.context import Here
from console.live import KINDS
from console.problems import problem_response

__all__ = ["router"]

router = APIRouter(tags=["service"])

_DOCS = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Driftline API</title>
<link rel="stylesheet" href="/swagger/swagger-ui.css">
<link rel="icon" href="/page/icon.svg">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/swagger/swagger-ui-bundle.js"></script>
<script src="/page/docs.js"></script>
</body>
</html>
"""


@router.get("/health")
async def health() -> dict[str, str]:
    """Say that the process is alive."""
    return {"status": "alive"}


@router.get("/ready", responses={503: {"description": "Something that it needs is away."}})
async def ready(here: Here) -> Response:
    """Say whether questions can be answered, and what is away if not."""
    parts: dict[str, Any] = {"redis": "ok", "views": "ok", "live": sorted(here.hub.reading)}
    try:
        if not await here.views.built():
            parts["views"] = "empty: is `driftline worker views` running?"
    except RedisError as away:
        parts["redis"] = parts["views"] = f"away: {away}"
    parts["live"] = "ok" if here.hub.connected else f"connecting: {len(here.hub.reading)} of {len(KINDS)} topics"
    if parts["redis"] != "ok":
        return problem_response(503, "not-ready", "Redis is away", more={"parts": parts})
    return JSONResponse({"status": "ready", "parts": parts})


@router.get("/metrics", response_class=Response)
async def metrics(request: Request, here: Here) -> Response:
    """Figures for Prometheus."""
    figures = request.app.state.metrics
    figures.listeners.set(here.hub.listeners)
    figures.devices.set(len(here.fleet.rows))
    try:
        await here.views.ping()
        figures.redis_up.set(1)
    except RedisError:
        figures.redis_up.set(0)
    return Response(figures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/docs", include_in_schema=False)
async def docs() -> HTMLResponse:
    return HTMLResponse(_DOCS)
