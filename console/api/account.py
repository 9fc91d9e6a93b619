"""Routes about who may: sessions, invitations, keys."""

import logging
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from console.api.context import Admin, Context, Here, Viewer
from console.auth import COOKIE, Principal, Role
from console.problems import ProblemError, not_found

__all__ = ["give_session", "router"]

log = logging.getLogger(__name__)

router = APIRouter(tags=["who may"])

_INVITATION_MS = 24 * 3_600_000


class Login(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"key": "dl_1a2b3c4d_…"}]})

    key: str = Field(min_length=1, max_length=400)


class Welcome(BaseModel):
    """What a one-time link carries behind its `#`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"invitation": "1a2b3c4d_…"}]})

    invitation: str = Field(min_length=1, max_length=400)


class Newcomer(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "mara", "role": "operator"}]})

    name: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")
    role: Role


@router.get("/session")
async def session(_here: Here, who: Viewer) -> dict[str, str]:
    """Say who you are."""
    return {"name": who.name, "role": who.role.value, "by": who.by}


@router.post("/session")
async def sign_in(here: Here, request: Request, login: Login) -> Response:
    """Trade a key for a session cookie."""
    who = await here.guard.check_key(login.key, request.client.host if request.client else "")
    return _opened(here, who, {})


@router.delete("/session", status_code=204)
async def sign_out(here: Here, request: Request, _who: Viewer) -> Response:
    """End the session."""
    here.guard.store.close_session(request.cookies.get(COOKIE, ""))
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/")
    return response


@router.post("/session/welcome")
async def welcome(here: Here, request: Request, given: Welcome) -> Response:
    """Turn a one-time link into a key, which is shown this once, and a session."""
    now_ms = here.guard.now_ms()
    accepted = await here.guard.slowly(
        request.client.host if request.client else "",
        lambda: here.guard.store.accept(given.invitation, now_ms=now_ms),
    )
    if accepted is None:
        raise ProblemError(
            401,
            "link-used",
            "this link was used, is too old, or never was",
            hint="ask an admin for another; without any admin, restarting the console prints one",
        )
    who, key = accepted
    await _note(here, who, f"key/{who.key_id}", "accepted an invitation")
    return _opened(here, who, {"key": key})


@router.get("/keys")
async def keys(here: Here, _who: Admin) -> dict[str, Any]:
    """List the keys; the keys themselves are nowhere kept."""
    return {"items": [_shown(key) for key in here.guard.store.all_keys()]}


@router.post("/keys", status_code=201)
async def make_key(here: Here, who: Admin, newcomer: Newcomer) -> dict[str, str]:
    """Make a key, for a program; it is shown this once."""
    await here.desk.note(who, f"key/{newcomer.name}", "made a key", role=newcomer.role.value)
    key_id, key = here.guard.store.make_key(
        newcomer.name, newcomer.role, by=who.name, now_ms=here.guard.now_ms()
    )  # fmt: skip
    return {"key_id": key_id, "key": key}


@router.post("/keys/invitations", status_code=201)
async def invite(here: Here, who: Admin, newcomer: Newcomer) -> dict[str, str]:
    """Make a one-time link for a person; whoever opens it within a day gets a key of their own."""
    await here.desk.note(who, f"key/{newcomer.name}", "invited", role=newcomer.role.value)
    invitation = here.guard.store.invite(
        newcomer.name, newcomer.role, by=who.name, expires_ms=here.guard.now_ms() + _INVITATION_MS
    )
    return {"link": f"/#/welcome/{invitation}"}


@router.delete("/keys/{key_id}", status_code=204)
async def revoke(here: Here, who: Admin, key_id: str) -> Response:
    """End a key and its sessions, at once."""
    others = [one for one in here.guard.store.all_keys() if one.role is Role.ADMIN and one.revoked_ms is None]
    if [one.key_id for one in others] == [key_id]:
        raise ProblemError(409, "last-admin", "this is the last admin's key", hint="make another admin first")
    if not here.guard.store.revoke(key_id, now_ms=here.guard.now_ms()):
        raise not_found("key", key_id)
    await _note(here, who, f"key/{key_id}", "revoked a key")
    return Response(status_code=204)


async def give_session(here: Context, who: Principal, response: Response) -> None:
    """Let somebody whom the issuer knows come in with an answer."""
    _open(here, who, response)
    await _note(here, who, f"session/{who.name}", "signed in by the issuer")


def _opened(here: Context, who: Principal, more: dict[str, str]) -> Response:
    response = JSONResponse({"name": who.name, "role": who.role.value, **more})
    _open(here, who, response)
    return response


def _open(here: Context, who: Principal, response: Response) -> None:
    now_ms, length_ms = here.guard.now_ms(), here.guard.session_ms
    token = here.guard.store.open_session(who, now_ms=now_ms, expires_ms=now_ms + length_ms)
    secure = here.config.url.startswith("https://")
    response.set_cookie(
        COOKIE, token, max_age=length_ms // 1000, httponly=True, secure=secure, samesite="strict", path="/"
    )


async def _note(here: Context, who: Principal, subject: str, action: str) -> None:
    """Tell the audit log; what must work without Kafka as well is not undone when that fails."""
    try:
        await here.desk.note(who, subject, action)
    except ProblemError as away:
        log.warning("not in the audit log: %s %s by %s: %s", action, subject, who.name, away)


def _shown(key: Any) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "role": key.role.value,
        "created_ms": key.created_ms,
        "created_by": key.created_by,
        "revoked_ms": key.revoked_ms,
    }
