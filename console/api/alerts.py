"""Routes about alerts: the inbox, acknowledging, silencing."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from console.api.context import Here, Operator, Viewer
from console.api.controls import Asked, IdempotencyKey, Why, ask, request_id_of
from console.api.paging import Cursor, Limit, page
from console.problems import ProblemError, not_found

__all__ = ["router"]

router = APIRouter(tags=["alerts"])

_GRAVITY = {"critical": 0, "high": 1, "medium": 2, "low": 3}
_MATCHABLE = ("subject", "feature", "kind", "model_id", "severity")
_RESOLVED_LOOKED_AT = 5_000


class Silence(BaseModel):
    """Nobody is notified of what fits all matchers until it ends; patterns may have `*`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"matchers": {"subject": "press-*", "kind": "mean_shift"}, "minutes": 120, "why": "refitting"}]
        },
    )

    matchers: dict[Annotated[str, Field(min_length=1, max_length=200)], Annotated[str, Field(max_length=400)]] = Field(
        min_length=1, max_length=16, description=f"{', '.join(_MATCHABLE)}, or the name of a label."
    )
    minutes: int = Field(ge=1, le=60 * 24 * 366)
    why: str = Field("", max_length=2000)


@router.get("/alerts")
async def alerts(
    here: Here,
    _who: Viewer,
    state: Annotated[Literal["", "pending", "firing", "acknowledged", "resolved"], Query()] = "",
    severity: Annotated[Literal["", "low", "medium", "high", "critical"], Query()] = "",
    subject: Annotated[str, Query(max_length=400)] = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """List alerts, the gravest and then the newest first; resolved ones only when asked for."""
    if state == "resolved":
        found = await here.views.latest("resolved", limit=_RESOLVED_LOOKED_AT)
    else:
        found = list((await here.views.lately("alerts")).values())
    chosen = [
        alert
        for alert in found
        if (not state or alert["state"] == state)
        and (not severity or alert["severity"] == severity)
        and (not subject or alert["subject"] == subject)
    ]
    chosen.sort(key=_by_gravity)
    return JSONResponse(page(chosen, key=_by_gravity, cursor=cursor, limit=limit, show=lambda alert: alert))


@router.get("/silences")
async def silences(here: Here, _who: Viewer) -> dict[str, Any]:
    """List the silences that count, the first to end first."""
    now_ms = here.guard.now_ms()
    found = [_silence(one) for one in (await here.views.all_of("silences")).values()]
    return {"items": sorted((one for one in found if one["until_ms"] > now_ms), key=lambda one: one["until_ms"])}


@router.post("/silences", response_model=Asked, status_code=202)
async def silence(here: Here, who: Operator, wanted: Silence, key: IdempotencyKey = "") -> Response:
    """Silence what matches, for some minutes."""
    until_ms = here.guard.now_ms() + wanted.minutes * 60_000
    arguments = {"until_ms": str(until_ms), "matchers": json.dumps(wanted.matchers, sort_keys=True)}
    # Every worker with alerts takes it; nobody answers for all of them.
    subject = f"silence/{request_id_of(who, key)}"
    return await ask(here, who, subject, "silence", why=wanted.why, key=key, arguments=arguments, wait=False)


@router.post("/silences/{silence_id:path}/end", response_model=Asked, status_code=202)
async def end_silence(here: Here, who: Operator, silence_id: str, reason: Why, key: IdempotencyKey = "") -> Response:
    """End a silence before its time."""
    if await here.views.one_of("silences", silence_id) is None:
        raise not_found("silence", silence_id)
    return await ask(here, who, f"silence/{silence_id}", "unsilence", why=reason.why, key=key, wait=False)


@router.post("/alerts/{alert_id:path}/acknowledge", response_model=Asked)
async def acknowledge(here: Here, who: Operator, alert_id: str, reason: Why, key: IdempotencyKey = "") -> Response:
    """Say that you care for a firing alert."""
    found = await here.views.one_of("alerts", alert_id)
    if found is None:
        raise not_found("alert", alert_id)
    if found["state"] != "firing":
        raise ProblemError(409, "refused", f"the alert is {found['state']}; only a firing one can be acknowledged")
    return await ask(here, who, f"alert/{alert_id}", "acknowledge", why=reason.why, key=key)


@router.get("/alerts/{alert_id:path}")
async def alert(here: Here, _who: Viewer, alert_id: str) -> dict[str, Any]:
    """Read one alert that lives, with its evidence."""
    found: dict[str, Any] | None = await here.views.one_of("alerts", alert_id)
    if found is None:
        raise not_found("alert", alert_id)
    return found


def _by_gravity(alert: dict[str, Any]) -> tuple[int, int, str]:
    return (_GRAVITY.get(alert["severity"], 4), -alert["changed_ms"], alert["alert_id"])


def _silence(request: dict[str, Any]) -> dict[str, Any]:
    arguments = request["arguments"]
    until = arguments.get("until_ms", "")
    return {
        "silence_id": request["subject"].removeprefix("silence/"),
        "who": request["who"],
        "why": request["why"],
        "matchers": _matchers(arguments.get("matchers", "")),
        "until_ms": int(until) if until.isdigit() else 0,
    }


def _matchers(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {}
