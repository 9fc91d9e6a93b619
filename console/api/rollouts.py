"""Routes about rollouts: plans, how they go, and every control."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from console.api.context import Approver, Context, Here, Operator, Viewer
from console.api.controls import Asked, IdempotencyKey, Why, ask
from console.api.paging import Cursor, Limit, page
from console.auth import Principal
from console.problems import ProblemError, not_found
from schemas.fleet import Device
from schemas.record import from_plain

__all__ = ["router"]

router = APIRouter(tags=["rollouts"])

_PLAN: dict[str, JsonValue] = {
    "rollout": "bearings-14",
    "model": "bearings/14",
    "strategy": "canary",
    "cohort": "site = north",
}


class Plan(BaseModel):
    """A rollout's plan, as `driftline rollout plan` reads it from a file."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"plan": _PLAN, "why": "fixes the false alarms"}]}
    )

    plan: dict[str, JsonValue]
    why: str = Field("", max_length=2000)


class Promotion(Why):
    """`full`: to everybody at once, and not only to the next stage."""

    full: bool = False


class Abortion(Why):
    """`rollback`: devices that were reached go back to what they ran before."""

    rollback: bool = True


class Lifting(Why):
    """`trait`: what the devices share that were set apart, such as `hw=rev2`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"trait": "hw=rev2", "why": "its firmware was mended"}]})

    trait: str = Field(min_length=1, max_length=400)


@router.get("/rollouts")
async def rollouts(
    here: Here,
    _who: Viewer,
    phase: Annotated[str, Query(max_length=40)] = "",
    model: Annotated[str, Query(max_length=400)] = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """List rollouts, the latest change first."""
    found = [
        one
        for one in (await here.views.lately("rollouts")).values()
        if (not phase or one["phase"] == phase) and (not model or one["model_id"] == model)
    ]
    found.sort(key=_by_change)
    return JSONResponse(page(found, key=_by_change, cursor=cursor, limit=limit, show=lambda one: one))


@router.post("/rollouts", response_model=Asked)
async def start(here: Here, who: Operator, plan: Plan, key: IdempotencyKey = "") -> Response:
    """Hand a plan to the controller."""
    rollout_id, document = _checked(here, plan)
    arguments = {"document": document}
    return await ask(here, who, f"rollout/{rollout_id}", "start", why=plan.why, key=key, arguments=arguments)


@router.post("/rollouts/foresee")
async def foresee(here: Here, _who: Viewer, plan: Plan) -> dict[str, Any]:
    """Say which devices each stage of a plan would take, and when at the soonest; nothing is done."""
    rollout_id, document = _checked(here, plan)
    if here.lent.foresee is None:
        raise _not_installed("rollouts")
    records = await here.views.each((f"device:{device_id}" for device_id in await _ids(here)), "device")
    fleet = [_device(plain) for plain in records if plain is not None]
    return {"rollout_id": rollout_id, "document": document, "stages": here.lent.foresee(plan.plan, fleet)}


@router.get("/rollouts/{rollout_id:path}/devices")
async def rollout_devices(
    here: Here,
    _who: Viewer,
    rollout_id: str,
    state: Annotated[str, Query(max_length=40)] = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> dict[str, Any]:
    """List what each device did in a rollout."""
    found = (await here.views.all_of(f"rollout:{rollout_id}")).values()
    chosen = sorted((one for one in found if not state or one["state"] == state), key=_by_device)
    return page(chosen, key=_by_device, cursor=cursor, limit=limit, show=lambda one: one)


@router.post("/rollouts/{rollout_id:path}/pause", response_model=Asked)
async def pause(here: Here, who: Operator, rollout_id: str, reason: Why, key: IdempotencyKey = "") -> Response:
    """Stop taking in devices; those that were commanded go on."""
    return await _control(here, who, rollout_id, "pause", reason, key)


@router.post("/rollouts/{rollout_id:path}/resume", response_model=Asked)
async def resume(here: Here, who: Operator, rollout_id: str, reason: Why, key: IdempotencyKey = "") -> Response:
    """Go on where it paused; gates that it paused for are accepted for this stage."""
    return await _control(here, who, rollout_id, "resume", reason, key)


@router.post("/rollouts/{rollout_id:path}/promote", response_model=Asked)
async def promote(here: Here, who: Approver, rollout_id: str, reason: Promotion, key: IdempotencyKey = "") -> Response:
    """Go to the next stage now, or to everybody."""
    return await _control(here, who, rollout_id, "promote", reason, key, full=reason.full)


@router.post("/rollouts/{rollout_id:path}/skip-bake", response_model=Asked)
async def skip_bake(here: Here, who: Approver, rollout_id: str, reason: Why, key: IdempotencyKey = "") -> Response:
    """End the bake now; gates and approval still count."""
    return await _control(here, who, rollout_id, "skip-bake", reason, key)


@router.post("/rollouts/{rollout_id:path}/approve", response_model=Asked)
async def approve(here: Here, who: Approver, rollout_id: str, reason: Why, key: IdempotencyKey = "") -> Response:
    """Let a rollout that awaits approval go on."""
    return await _control(here, who, rollout_id, "approve", reason, key)


@router.post("/rollouts/{rollout_id:path}/abort", response_model=Asked)
async def abort(here: Here, who: Operator, rollout_id: str, reason: Abortion, key: IdempotencyKey = "") -> Response:
    """Stop for good, and roll back unless told otherwise."""
    return await _control(here, who, rollout_id, "abort", reason, key, rollback=reason.rollback)


@router.post("/rollouts/{rollout_id:path}/cancel", response_model=Asked)
async def cancel(here: Here, who: Operator, rollout_id: str, reason: Why, key: IdempotencyKey = "") -> Response:
    """Take back a rollout that has not begun."""
    return await _control(here, who, rollout_id, "cancel", reason, key)


@router.post("/rollouts/{rollout_id:path}/retry", response_model=Asked)
async def retry(here: Here, who: Operator, rollout_id: str, reason: Why, key: IdempotencyKey = "") -> Response:
    """Try devices again that failed."""
    return await _control(here, who, rollout_id, "retry", reason, key)


@router.post("/rollouts/{rollout_id:path}/lift", response_model=Asked)
async def lift(here: Here, who: Approver, rollout_id: str, reason: Lifting, key: IdempotencyKey = "") -> Response:
    """Let a class of devices back in that was set apart for its failures."""
    return await _control(here, who, rollout_id, "lift", reason, key, trait=reason.trait)


@router.get("/rollouts/{rollout_id:path}")
async def rollout(here: Here, _who: Viewer, rollout_id: str) -> dict[str, Any]:
    """Read a rollout: its plan, its stage, its gates with their evidence."""
    found = await here.views.one_of("rollouts", rollout_id)
    if found is None:
        raise not_found("rollout", rollout_id)
    return {**found, "plan": await here.views.one_of("plans", rollout_id)}


async def _control(
    here: Context, who: Principal, rollout_id: str, action: str, reason: Why, key: str, **choices: bool | str
) -> Response:
    if await here.views.one_of("rollouts", rollout_id) is None:
        raise not_found("rollout", rollout_id)
    arguments = {name: chosen if isinstance(chosen, str) else str(chosen).lower() for name, chosen in choices.items()}
    return await ask(here, who, f"rollout/{rollout_id}", action, why=reason.why, key=key, arguments=arguments)


def _checked(here: Context, plan: Plan) -> tuple[str, str]:
    if here.lent.check_plan is None:
        raise _not_installed("rollouts")
    return here.lent.check_plan(plan.plan)


async def _ids(here: Context) -> list[str]:
    await here.fleet.refresh()
    return here.fleet.ids


def _device(plain: dict[str, Any]) -> Device:
    return from_plain(Device, plain)


def _not_installed(what: str) -> ProblemError:
    return ProblemError(503, "not-installed", f"this console cannot check {what}", hint="pip install 'driftline[all]'")


def _by_change(one: dict[str, Any]) -> tuple[int, str]:
    return (-one["changed_ms"], one["rollout_id"])


def _by_device(one: dict[str, Any]) -> str:
    return str(one["device_id"])
