"""Routes about backtests: what other policies would have said of the past."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from console.api.context import Context, Here, Operator, Viewer
from console.api.controls import IdempotencyKey, once
from console.lent import Backtests
from console.problems import ProblemError, not_found

__all__ = ["router"]

router = APIRouter(tags=["backtests"])


PolicyName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class Order(BaseModel):
    """Policies, TOML, by a name of yours, and the stretch of time to try them on."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"policies": {"stricter": "[floors]\npsi = 0.03\n"}, "hours": 24, "why": "fewer late alarms"}]
        },
    )

    policies: dict[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")], Annotated[str, Field(max_length=200_000)]
    ] = Field(min_length=1, max_length=20)
    hours: float = Field(gt=0, le=24 * 60)
    why: str = Field("", max_length=2000)


@router.get("/backtests")
async def backtests(here: Here, _who: Viewer) -> dict[str, Any]:
    """List the backtests of this console, the newest first."""
    return {"items": [dict(one) for one in _runner(here).all()]}


@router.post("/backtests", status_code=202)
async def start(here: Here, who: Operator, order: Order, key: IdempotencyKey = "") -> Response:
    """Start a backtest; its progress and its report are told under its own address."""
    runner = _runner(here)
    if here.lent.check_policy is not None:
        for document in order.policies.values():
            here.lent.check_policy(document)

    async def act() -> Response:
        backtest_id = runner.start(order.model_dump(), who.name)
        await here.desk.note(
            who, f"backtest/{backtest_id}", "started", why=order.why, policies=", ".join(order.policies)
        )
        headers = {"Location": f"/backtests/{backtest_id}"}
        return JSONResponse({"backtest_id": backtest_id, "state": "running"}, status_code=202, headers=headers)

    return await once(here, who, key, ["backtest", order.model_dump()], act)


@router.get("/backtests/{backtest_id}")
async def backtest(here: Here, _who: Viewer, backtest_id: str) -> dict[str, Any]:
    """Read how far a backtest is, and what it found."""
    found = _runner(here).get(backtest_id)
    if found is None:
        raise not_found("backtest", backtest_id)
    return dict(found)


@router.get("/backtests/{backtest_id}/report", response_class=FileResponse)
async def report(here: Here, _who: Viewer, backtest_id: str) -> FileResponse:
    """Read the report, one HTML file."""
    path = _runner(here).report(backtest_id)
    if path is None:
        raise not_found("report of backtest", backtest_id)
    return FileResponse(path, media_type="text/html", filename=f"backtest-{backtest_id}.html")


@router.delete("/backtests/{backtest_id}", status_code=204)
async def cancel(here: Here, who: Operator, backtest_id: str) -> Response:
    """Stop a backtest that runs."""
    if not _runner(here).cancel(backtest_id):
        raise not_found("running backtest", backtest_id)
    await here.desk.note(who, f"backtest/{backtest_id}", "cancelled")
    return Response(status_code=204)


def _runner(here: Context) -> Backtests:
    if here.lent.backtests is None:
        raise ProblemError(
            503, "not-installed", "this console cannot run backtests", hint="pip install 'driftline[all]'"
        )
    return here.lent.backtests
