"""Routes about policies: how drift is judged."""

import asyncio
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from console.api.context import Approver, Context, Here, Viewer
from console.api.controls import IdempotencyKey, once
from console.problems import ProblemError, not_found

__all__ = ["router"]

router = APIRouter(tags=["policies"])


class Document(BaseModel):
    """A policy, TOML."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"document": "[floors]\npsi = 0.06\n", "why": "less noise"}]}
    )

    document: str = Field(max_length=200_000)
    why: str = Field("", max_length=2000)


@router.get("/policies")
async def policies(here: Here, _who: Viewer) -> dict[str, Any]:
    """List the policies that were ever issued."""
    found = await here.views.all_of("policies")
    return {
        "items": [found[name] for name in sorted(found)],
        "can_change": here.lent.issue_policy is not None,
        "can_backtest": here.lent.backtests is not None,
    }


@router.post("/policies/check")
async def check(here: Here, _who: Viewer, wanted: Document) -> dict[str, Any]:
    """Say whether a document is a policy; a 409 problem names the key that is wrong."""
    _check(here, wanted.document)
    return {"valid": True}


@router.get("/policies/{policy_id}")
async def policy(here: Here, _who: Viewer, policy_id: str) -> dict[str, Any]:
    """Read a policy."""
    found: dict[str, Any] | None = await here.views.one_of("policies", policy_id)
    if found is None:
        raise not_found("policy", policy_id)
    return found


@router.put("/policies/{policy_id}")
async def put(here: Here, who: Approver, policy_id: str, wanted: Document, key: IdempotencyKey = "") -> Response:
    """Issue a policy, signed with the console's key; workers take it up without a restart."""
    _check(here, wanted.document)
    issue = here.lent.issue_policy
    if issue is None:
        raise ProblemError(
            503,
            "no-key",
            "this console has no key to sign policies with",
            hint="start it with --policy-key, or use `driftline drift policy set`",
        )

    async def act() -> Response:
        revision = await asyncio.to_thread(issue, policy_id, wanted.document, who.name, wanted.why)
        return JSONResponse({"policy_id": policy_id, "revision": revision})

    return await once(here, who, key, ["policy", policy_id, wanted.model_dump()], act)


def _check(here: Context, document: str) -> None:
    if here.lent.check_policy is None:
        raise ProblemError(
            503, "not-installed", "this console cannot check policies", hint="pip install 'driftline[all]'"
        )
    here.lent.check_policy(document)
