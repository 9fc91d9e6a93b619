"""Routes about models: releases side by side, and how far each may go."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from console.api.context import Approver, Context, Here, Viewer
from console.api.controls import IdempotencyKey, Why, once
from console.api.paging import Cursor, Limit, page
from console.auth import Principal
from console.problems import ProblemError, not_found

__all__ = ["router"]

router = APIRouter(tags=["models"])


class Move(Why):
    """`insist`: though it was not compared on held-out data, or though it is in production."""

    insist: bool = False


@router.get("/models")
async def models(here: Here, _who: Viewer, limit: Limit = 100, cursor: Cursor = "") -> Response:
    """List releases by model, the newest first, each with how many devices run it."""
    await here.fleet.refresh()
    running = here.fleet.count("model_id")
    found = sorted((await here.views.lately("models")).values(), key=_by_age)
    shown = [{**one, "devices": running.get(_id(one), 0)} for one in found]
    return JSONResponse(page(shown, key=_by_age, cursor=cursor, limit=limit, show=lambda one: one))


@router.get("/models/compare")
async def compare(
    here: Here, _who: Viewer, a: Annotated[str, Query(max_length=400)], b: Annotated[str, Query(max_length=400)]
) -> dict[str, Any]:
    """Set two releases side by side: their metrics, and what the fleet sees of them."""
    left, right = await _release(here, a), await _release(here, b)
    await here.fleet.refresh()
    names = sorted(left["metrics"].keys() | right["metrics"].keys())
    return {
        "a": left,
        "b": right,
        "metrics": [{"name": name, "a": left["metrics"].get(name), "b": right["metrics"].get(name)} for name in names],
        "fleet": {"a": _seen(here, a), "b": _seen(here, b)},
    }


@router.get("/models/{model_id:path}")
async def model(here: Here, _who: Viewer, model_id: str) -> dict[str, Any]:
    """Read a release, as name/version."""
    await here.fleet.refresh()
    return {**await _release(here, model_id), "fleet": _seen(here, model_id)}


@router.post("/models/{model_id:path}/promote")
async def promote(here: Here, who: Approver, model_id: str, wish: Move, key: IdempotencyKey = "") -> Response:
    """Take a release one stage further; the one that was in production before it is archived."""
    return await _move(here, who, "promote", model_id, wish, key)


@router.post("/models/{model_id:path}/archive")
async def archive(here: Here, who: Approver, model_id: str, wish: Move, key: IdempotencyKey = "") -> Response:
    """Take a release out of use."""
    return await _move(here, who, "archive", model_id, wish, key)


async def _move(here: Context, who: Principal, action: str, model_id: str, wish: Move, key: str) -> Response:
    move = here.lent.move_release
    if move is None:
        raise ProblemError(
            503, "not-installed", "this console cannot move releases", hint="pip install 'driftline[all]'"
        )
    await _release(here, model_id)

    async def act() -> Response:
        return JSONResponse(
            {"stages": await asyncio.to_thread(move, action, model_id, who.name, wish.why, wish.insist)}
        )

    return await once(here, who, key, [action, model_id, wish.model_dump()], act)


async def _release(here: Context, model_id: str) -> dict[str, Any]:
    found: dict[str, Any] | None = await here.views.one_of("models", model_id)
    if found is None:
        raise not_found("model", model_id)
    return found


def _seen(here: Context, model_id: str) -> dict[str, Any]:
    rows = here.fleet.chosen(model=model_id)
    verdicts: dict[str, int] = {}
    for row in rows:
        verdicts[row.verdict] = verdicts.get(row.verdict, 0) + 1
    return {"devices": len(rows), "by_verdict": verdicts}


def _id(release: dict[str, Any]) -> str:
    return f"{release['model']}/{release['version']}"


def _by_age(release: dict[str, Any]) -> tuple[str, int, str]:
    return (release["model"], -release["created_ms"], release["version"])
