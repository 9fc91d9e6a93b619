"""Routes about models: releases side by side, and trainings."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from console.api.context import Approver, Context, Here, Operator, Viewer
from console.api.controls import Asked, IdempotencyKey, Why, ask, once, request_id_of
from console.api.paging import Cursor, Limit, page
from console.problems import not_found
from schemas.training import TrainingCause, TrainingRequest

__all__ = ["router"]

router = APIRouter(tags=["models"])

_DAY_MS = 86_400_000


class Training(BaseModel):
    """A model to be trained anew, on the data of the last days."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"model": "bearings", "pipeline": "machine/1", "days": 7, "why": "new pumps"}]},
    )

    model: str = Field(min_length=1, max_length=200)
    pipeline: str = Field(pattern=r"^[^/\x00]+/[^/\x00]+$", max_length=200)
    days: float = Field(gt=0, le=90)
    without: list[Annotated[str, Field(max_length=400)]] = Field(
        default_factory=list, max_length=1000, description="Devices not to learn from."
    )
    why: str = Field(min_length=1, max_length=2000)


@router.get("/models")
async def models(here: Here, _who: Viewer, limit: Limit = 100, cursor: Cursor = "") -> Response:
    """List releases by model, the newest first, each with how many devices run it."""
    await here.fleet.refresh()
    running = here.fleet.count("model_id")
    found = sorted((await here.views.all_of("models")).values(), key=_by_age)
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


@router.get("/training")
async def trainings(here: Here, _who: Viewer, limit: Limit = 100, cursor: Cursor = "") -> dict[str, Any]:
    """List training requests, the newest first."""
    found = sorted((await here.views.all_of("trainings")).values(), key=_by_request)
    return page(found, key=_by_request, cursor=cursor, limit=limit, show=lambda one: one)


@router.post("/training", status_code=202, response_model=Asked)
async def train(here: Here, who: Operator, wanted: Training, key: IdempotencyKey = "") -> Response:
    """Ask for a training."""
    now_ms = here.guard.now_ms()
    request = TrainingRequest(
        request_id=f"{wanted.model}-{uuid.UUID(request_id_of(who, key)).hex[:12]}",
        model=wanted.model,
        pipeline=wanted.pipeline,
        cause=TrainingCause.PERSON,
        reason=wanted.why,
        requested_ms=now_ms,
        requested_by=who.name,
        data_from_ms=now_ms - int(wanted.days * _DAY_MS),
        data_to_ms=now_ms,
        excluded_devices=tuple(wanted.without),
    )

    async def act() -> Response:
        subject = f"training/{request.request_id}"
        await here.desk.note(who, subject, "asked to train", why=wanted.why, model=wanted.model)
        await here.desk.publish("training.requests", request)
        return JSONResponse({"request_id": request.request_id, "state": "taken"}, status_code=202)

    return await once(here, who, key, ["train", wanted.model_dump()], act)


@router.post("/training/{request_id:path}/approve", response_model=Asked)
async def approve(here: Here, who: Approver, request_id: str, reason: Why, key: IdempotencyKey = "") -> Response:
    """Let a training that awaits approval begin."""
    await _training(here, request_id)
    return await ask(here, who, f"training/{request_id}", "approve", why=reason.why, key=key)


@router.post("/training/{request_id:path}/cancel", response_model=Asked)
async def cancel(here: Here, who: Operator, request_id: str, reason: Why, key: IdempotencyKey = "") -> Response:
    """Stop a training."""
    await _training(here, request_id)
    return await ask(here, who, f"training/{request_id}", "cancel", why=reason.why, key=key)


async def _release(here: Context, model_id: str) -> dict[str, Any]:
    found: dict[str, Any] | None = await here.views.one_of("models", model_id)
    if found is None:
        raise not_found("model", model_id)
    return found


async def _training(here: Context, request_id: str) -> None:
    if await here.views.one_of("trainings", request_id) is None:
        raise not_found("training", request_id)


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


def _by_request(request: dict[str, Any]) -> tuple[int, str]:
    return (-request["requested_ms"], request["request_id"])
