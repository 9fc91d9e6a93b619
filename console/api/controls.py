"""Controls: one way to ask for something, done once however often it is repeated."""

import hashlib
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

from fastapi import Header
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from console.api.context import Context
from console.auth import Principal
from console.problems import PROBLEM, ProblemError, problem_response

__all__ = ["Asked", "IdempotencyKey", "Why", "ask", "once", "request_id_of"]

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        max_length=200,
        description="A repeat with the same key and body is not done again, and gets the same answer; kept for a day.",
    ),
]
_DAY_MS = 86_400_000
_OURS = uuid.UUID("6f1d6e0a-5c0b-4c53-9d0a-5c6f4f0c2f5e")


class Why(BaseModel):
    """A reason, which the audit log keeps."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"why": "seen on the floor"}]})

    why: str = Field("", max_length=2000)


class Asked(BaseModel):
    """What became of a request: done, or taken (200, 202). A refusal is a problem (409)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "request_id": "0f8b4f5e-8f9a-5f0e-9d7c-3b6d0d5a4c11",
                    "state": "done",
                    "action": "paused",
                    "why": "seen on the floor",
                    "who": "mara",
                }
            ]
        }
    )

    request_id: str
    # "done": whoever carries it out has said so; "taken": it is on its topic.
    state: str
    action: str = ""
    why: str = ""
    who: str = ""


async def ask(
    here: Context,
    principal: Principal,
    subject: str,
    action: str,
    *,
    why: str,
    key: str,
    arguments: Mapping[str, str] | None = None,
    wait: bool = True,
) -> Response:
    """Put a request onto its topic and answer with what became of it."""

    async def act() -> Response:
        answer = await here.desk.ask(
            principal,
            subject,
            action,
            why=why,
            request_id=request_id_of(principal, key),
            arguments=arguments,
            wait=wait,
        )
        if answer.entry is None:
            return JSONResponse({"request_id": answer.request_id, "state": "taken"}, status_code=202)
        if answer.refused:
            return problem_response(409, "refused", answer.entry.why, more={"request_id": answer.request_id})
        entry = answer.entry
        body = {"action": entry.action, "why": entry.why, "who": entry.who}
        return JSONResponse({"request_id": answer.request_id, "state": "done", **body})

    return await once(here, principal, key, [subject, action, why, dict(arguments or {})], act)


async def once(
    here: Context, principal: Principal, key: str, asked: Any, act: Callable[[], Awaitable[Response]]
) -> Response:
    """Act, or answer as the first time when the key was used before."""
    if not key:
        return await act()
    store, now_ms = here.guard.store, here.guard.now_ms()
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    kept = store.answer(principal.name, key)
    if kept is not None:
        if kept[0] != digest:
            raise ProblemError(422, "key-reused", "this Idempotency-Key was used for something else")
        return Response(
            kept[2],
            status_code=kept[1],
            media_type=PROBLEM if kept[1] >= 400 else "application/json",
            headers={"Idempotent-Replayed": "true"},
        )
    response = await act()
    store.keep_answer(
        principal.name,
        key,
        asked=digest,
        status=response.status_code,
        body=bytes(response.body).decode(),
        now_ms=now_ms,
        forget_before_ms=now_ms - _DAY_MS,
    )
    return response


def request_id_of(principal: Principal, key: str) -> str:
    """Return the same id for the same person and key, so that whoever carries it out knows a repeat as well."""
    return str(uuid.uuid5(_OURS, f"{principal.name}\n{key}") if key else uuid.uuid4())
