"""Routes about trainings: what was asked for, how far it is, and a person's word about it."""

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

router = APIRouter(tags=["trainings"])

_DAY_MS = 86_400_000
# What the trainer's word in the audit log means for a request; what is not here is told as it is.
_UNDER_WAY = {"started": "running", "progressed": "running", "attempt_failed": "waiting"}


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


@router.get("/training")
async def trainings(
    here: Here,
    _who: Viewer,
    state: Annotated[str, Query(max_length=40)] = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """List training requests, the newest first, each with its state and what the trainer said of it last."""
    news, said = await here.views.all_of("training-news"), await here.views.all_of("training-said")
    shown = [
        _shown(one, news.get(name), said.get(name)) for name, one in (await here.views.all_of("trainings")).items()
    ]
    found = sorted((one for one in shown if not state or one["state"] == state), key=_by_request)
    return JSONResponse(page(found, key=_by_request, cursor=cursor, limit=limit, show=lambda one: one))


@router.get("/training/{request_id:path}")
async def training(here: Here, _who: Viewer, request_id: str) -> dict[str, Any]:
    """Read one training request and how far it is."""
    news = await here.views.one_of("training-news", request_id)
    said = await here.views.one_of("training-said", request_id)
    return _shown(await _training(here, request_id), news, said)


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


async def _training(here: Context, request_id: str) -> dict[str, Any]:
    found: dict[str, Any] | None = await here.views.one_of("trainings", request_id)
    if found is None:
        raise not_found("training", request_id)
    return found


def _shown(request: dict[str, Any], news: dict[str, Any] | None, said: dict[str, Any] | None) -> dict[str, Any]:
    return {
        **request,
        "state": _state(request, news, said),
        "news": news["why"] if news else "",
        "changed_ms": news["at_ms"] if news else request["requested_ms"],
        "attempt": int(news["evidence"].get("attempt", "0")) if news else 0,
    }


def _state(request: dict[str, Any], news: dict[str, Any] | None, said: dict[str, Any] | None) -> str:
    if news is not None:
        return _UNDER_WAY.get(news["action"], str(news["action"]))
    if request["needs_approval"] and said is None:
        return "awaiting_approval"
    # Cancelled is what the trainer says it is: until then it was only asked for.
    return "cancelling" if said is not None and said["action"] == "cancel" else "waiting"


def _by_request(request: dict[str, Any]) -> tuple[int, str]:
    return (-request["requested_ms"], request["request_id"])
