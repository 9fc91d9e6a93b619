"""Routes about the fleet: devices, their features, scores and distributions."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from console.api.context import Admin, Context, Here, Operator, Viewer
from console.api.controls import Asked, IdempotencyKey, ask
from console.api.paging import Cursor, Limit, page
from console.distributions import distributions
from console.fleet import Fleet, Row
from console.heatmap import heatmap
from console.problems import ProblemError, not_found
from schemas.jsonable import as_text

__all__ = ["router"]

router = APIRouter(tags=["fleet"])

_PRESS: dict[str, JsonValue] = {
    "device_id": "press-7",
    "state": "online",
    "model_id": "bearings/14",
    "labels": {"site": "north"},
    "groups": [],
    "last_seen_ms": 1_780_000_000_000,
    "safe_mode": False,
    "verdict": "drift",
    "scored_ms": 1_780_000_000_000,
    "drifting": ["temperature"],
    "worst_psi": 0.41,
}


class DeviceRow(BaseModel):
    """A device as lists show it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PRESS]})

    device_id: str
    state: str
    model_id: str
    labels: dict[str, str]
    groups: list[str]
    last_seen_ms: int = Field(description="Broker time of the last heartbeat that the controller noted; 0: never.")
    safe_mode: bool
    verdict: str
    scored_ms: int = Field(description="End of the last scored window, device clock; 0: never.")
    drifting: list[str]
    worst_psi: float


class Devices(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [_PRESS], "total": 2, "next": "InByZXNzLTci"}]},
    )

    items: list[DeviceRow]
    total: int
    next: str | None


class Change(BaseModel):
    """Labels to set (an empty value removes one) or groups to put the device in."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"labels": {"site": "south"}}]})

    labels: dict[str, str] | None = Field(None, max_length=64)
    groups: list[Annotated[str, Field(pattern=r"^[^,\x00]+$")]] | None = Field(None, max_length=64)
    why: str = Field("", max_length=2000)


class Registration(BaseModel):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"labels": {"site": "north"}, "why": "new line"}]}
    )

    labels: dict[str, str] = Field(default_factory=dict, max_length=64)
    why: str = Field("", max_length=2000)


@router.get("/stats")
async def stats(here: Here, _who: Viewer) -> Response:
    """Count the fleet: devices by state, model and verdict, alerts by severity, rollouts by phase."""
    await here.fleet.refresh()
    alerts, rollouts, models = await here.views.tallies("alerts", "rollouts", "models")
    return JSONResponse(
        {
            **here.fleet.derived("stats", lambda: _counted(here.fleet)),
            "alerts": _by("severity", alerts),
            "alerts_by_state": _by("state", alerts),
            "rollouts": _by("phase", rollouts),
            "models": sum(_by("stage", models).values()),
        }
    )


@router.get("/devices", response_model=Devices)
async def devices(
    here: Here,
    _who: Viewer,
    state: Annotated[str, Query(max_length=40)] = "",
    model: Annotated[str, Query(max_length=400)] = "",
    verdict: Annotated[str, Query(max_length=40)] = "",
    q: Annotated[str, Query(max_length=400, description="Part of a device_id.")] = "",
    label: Annotated[list[str] | None, Query(max_length=16, description="name=value; all must fit.")] = None,
    sort: Annotated[Literal["id", "drift"], Query(description="By device_id, or the most drifted first.")] = "id",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """List devices."""
    await here.fleet.refresh()
    labels = _labels(label)
    asked = ("devices", sort, state, model, verdict, q, tuple(labels))

    def chosen() -> list[Row]:
        rows = here.fleet.chosen(state=state, model=model, verdict=verdict, text=q, labels=labels)
        return sorted(rows, key=_by_drift) if sort == "drift" else rows

    rows = here.fleet.derived(asked, chosen)
    if sort == "drift":
        return JSONResponse(page(rows, key=_by_drift, cursor=cursor, limit=limit, show=Row.shown))
    return JSONResponse(page(rows, key=lambda row: row.device_id, cursor=cursor, limit=limit, show=Row.shown))


@router.get("/fleet/heatmap")
async def fleet_heatmap(
    here: Here,
    _who: Viewer,
    by: Annotated[str, Query(max_length=200, description="device, model, or the name of a label.")] = "model",
    label: Annotated[list[str] | None, Query(max_length=16)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 40,
) -> Response:
    """Show drift by feature, for groups of devices or for the worst devices."""
    await here.fleet.refresh()
    wanted = _labels(label)

    def made() -> bytes:
        names = sorted({one for row in here.fleet.rows.values() for one in row.labels})
        found = heatmap(here.fleet.chosen(labels=wanted), by=by, limit=limit)
        return as_text({**found, "labels": names}).encode()

    # Many cells: they are also written out once for all who look.
    body = here.fleet.derived(("heatmap", by, limit, tuple(wanted)), made)
    return Response(body, media_type="application/json")


@router.get("/features")
async def features(
    here: Here, _who: Viewer, device: Annotated[list[str], Query(min_length=1, max_length=100)]
) -> dict[str, Any]:
    """Read the latest features of up to a hundred devices at once; None for a device without any."""
    found = await here.views.each((f"device:{device_id}" for device_id in device), "features")
    return {"items": dict(zip(device, found, strict=True))}


@router.get("/scores")
async def scores(
    here: Here,
    _who: Viewer,
    verdict: Annotated[str, Query(max_length=40)] = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> dict[str, Any]:
    """List the latest scores of devices, the most drifted first."""
    await here.fleet.refresh()
    rows = here.fleet.derived(
        ("scores", verdict),
        lambda: sorted((row for row in here.fleet.chosen(verdict=verdict) if row.scored_ms), key=_by_drift),
    )
    return page(rows, key=_by_drift, cursor=cursor, limit=limit, show=lambda row: {**row.shown(), "psi": row.psi})


@router.get("/devices/{device_id:path}/features")
async def device_features(here: Here, _who: Viewer, device_id: str) -> dict[str, Any]:
    """Read the latest features of a device."""
    return await _part(here, device_id, "features")


@router.get("/devices/{device_id:path}/scores")
async def device_scores(
    here: Here, _who: Viewer, device_id: str, limit: Annotated[int, Query(ge=1, le=240)] = 240
) -> Response:
    """Read the latest scores of a device, and how they came about: one point a report, oldest first."""
    latest = await here.views.text_of(f"device:{device_id}", "scores")
    points = await here.views.latest_texts(f"series:{device_id}", limit=limit)
    if latest is None and not points:
        raise not_found("scores of device", device_id)
    # Hundreds of points, which the views hold as JSON already.
    return _as_it_is(f'{{"latest":{latest or "null"},"points":[{",".join(points[::-1])}]}}')


@router.get("/devices/{device_id:path}/distributions")
async def device_distributions(here: Here, _who: Viewer, device_id: str) -> dict[str, Any]:
    """Compare the last window of a device with its model's baseline, bin by bin."""
    found = await here.views.some_of(f"device:{device_id}", ("features", "scores"))
    window = found.get("features")
    if window is None:
        raise not_found("features of device", device_id)
    grid = await here.views.immutable("grids", window["grid_id"])
    baseline = await here.views.immutable("baselines", found.get("scores", {}).get("baseline_id", ""))
    return distributions(window, grid, baseline)


@router.get("/devices/{device_id:path}")
async def device(here: Here, _who: Viewer, device_id: str) -> Response:
    """Read all that is known of a device."""
    found = await here.views.texts_of(f"device:{device_id}")
    if not found:
        raise not_found("device", device_id)
    parts = [f'"device_id":{json.dumps(device_id)}', *(f"{json.dumps(name)}:{text}" for name, text in found.items())]
    return _as_it_is(f"{{{','.join(parts)}}}")


@router.patch("/devices/{device_id:path}", response_model=Asked)
async def change_device(
    here: Here,
    who: Operator,
    device_id: str,
    change: Change,
    key: IdempotencyKey = "",
) -> Response:
    """Label a device, or put it into groups; one of the two at a time."""
    if (change.labels is None) == (change.groups is None):
        raise ProblemError(422, "not-understood", "wanted labels, or groups")
    await _part(here, device_id, "device")
    action, arguments = (
        ("label", change.labels) if change.labels is not None else ("group", {"groups": ",".join(change.groups or ())})
    )
    return await ask(here, who, f"device/{device_id}", action, why=change.why, key=key, arguments=arguments)


@router.post("/devices/{device_id:path}/register", response_model=Asked)
async def register(
    here: Here, who: Admin, device_id: str, registration: Registration, key: IdempotencyKey = ""
) -> Response:
    """Take a device into the fleet."""
    arguments = registration.labels
    return await ask(
        here, who, f"device/{device_id}", "register", why=registration.why, key=key, arguments=arguments
    )  # fmt: skip


@router.post("/devices/{device_id:path}/revoke", response_model=Asked)
async def revoke(
    here: Here, who: Admin, device_id: str, registration: Registration, key: IdempotencyKey = ""
) -> Response:
    """Take a device out of the fleet."""
    return await ask(here, who, f"device/{device_id}", "revoke", why=registration.why, key=key)


def _counted(fleet: Fleet) -> dict[str, Any]:
    return {
        "devices": len(fleet.rows),
        "by_state": fleet.count("state"),
        "by_verdict": fleet.count("verdict"),
        "by_model": fleet.count("model_id"),
        "safe_mode": sum(row.safe_mode for row in fleet.rows.values()),
    }


def _as_it_is(body: str) -> Response:
    return Response(body, media_type="application/json")


async def _part(here: Context, device_id: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] | None = await here.views.one_of(f"device:{device_id}", name)
    if found is None:
        raise not_found(f"{name} of device", device_id)
    return found


def _labels(given: list[str] | None) -> list[tuple[str, str]]:
    pairs = [text.partition("=") for text in given or ()]
    if any(not sign for _, sign, _ in pairs):
        raise ProblemError(422, "not-understood", "label: wanted name=value")
    return [(name, value) for name, _, value in pairs]


def _by_drift(row: Row) -> tuple[float, str]:
    return (-row.worst_psi, row.device_id)


def _by(name: str, tally: Mapping[str, int]) -> dict[str, int]:
    """Return the counts of one question that a tally answers, by its answers."""
    return {box.removeprefix(f"{name}:"): count for box, count in tally.items() if box.startswith(f"{name}:")}
