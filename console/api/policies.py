"""Routes about policies: how drift is judged."""

import asyncio
import re
import sys
from collections.abc import Collection, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from console.api.context import Approver, Context, Here, Viewer
from console.api.controls import IdempotencyKey, once
from console.problems import ProblemError, not_found

__all__ = ["router"]

router = APIRouter(tags=["policies"])

IfMatch = Annotated[
    str,
    Header(
        alias="If-Match",
        max_length=400,
        description="The ETag that was read: a policy that somebody else has issued since is left as it is (412).",
        examples=['"revision-3"'],
    ),
]


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
async def policy(here: Here, _who: Viewer, policy_id: str) -> Response:
    """Read a policy."""
    found = await here.views.one_of("policies", policy_id)
    if found is None:
        raise not_found("policy", policy_id)
    return JSONResponse(found, headers={"ETag": _tag(found)})


@router.put("/policies/{policy_id}")
async def put(
    here: Here, who: Approver, policy_id: str, wanted: Document, key: IdempotencyKey = "", if_match: IfMatch = ""
) -> Response:
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
        revision = await asyncio.to_thread(
            issue, policy_id, wanted.document, who.name, wanted.why, _revisions_in(if_match)
        )
        if revision is None:
            raise ProblemError(
                412,
                "changed-meanwhile",
                f"policy {policy_id!r} is not what was read, somebody else has issued it meanwhile",
                hint="read it again, and decide whether your change still fits",
            )
        return JSONResponse({"policy_id": policy_id, "revision": revision})

    return await once(here, who, key, ["policy", policy_id, wanted.model_dump()], act)


def _tag(policy: Mapping[str, Any]) -> str:
    return f'"revision-{policy["revision"]}"'


def _revisions_in(if_match: str) -> Collection[int] | None:
    """Return the revisions that tags name; None where all will do, even that there is none."""
    if not if_match:
        return None
    if if_match.strip() == "*":
        return range(1, sys.maxsize)
    return [int(revision) for revision in re.findall(r'"revision-(\d{1,18})"', if_match)]


def _check(here: Context, document: str) -> None:
    if here.lent.check_policy is None:
        raise ProblemError(
            503, "not-installed", "this console cannot check policies", hint="pip install 'driftline[all]'"
        )
    here.lent.check_policy(document)
