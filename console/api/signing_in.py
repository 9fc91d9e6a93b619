"""Routes for signing in at the issuer; browsers walk them, and no program needs to."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from console.api.account import give_session
from console.api.context import Context, Here
from console.auth.sign_in import WAY_LASTS_S, SignIn
from console.problems import ProblemError

__all__ = ["router"]

router = APIRouter(tags=["who may"])

_STATE = "driftline_sign_in"
_PATH = "/session/oidc"


@router.get("/session/ways")
async def ways(here: Here) -> dict[str, str | bool]:
    """Say how people may sign in; `oidc` is whose sign-in is offered, empty where none is."""
    return {"key": True, "oidc": here.config.oidc.issuer if here.sign_in else ""}


@router.get(_PATH, include_in_schema=False)
async def begin(here: Here, request: Request) -> Response:
    """Go to the issuer's sign-in."""
    sign_in = _sign_in(here)
    try:
        url, state = await sign_in.begin(f"{_own_url(here, request)}{_PATH}/callback")
    except ProblemError as refused:
        return _told_on_the_page(refused)
    response = RedirectResponse(url, status_code=302, headers={"Cache-Control": "no-store"})
    # Strict would keep it from coming back with the browser: the issuer is another site.
    response.set_cookie(_STATE, state, max_age=WAY_LASTS_S, httponly=True, secure=_secure(here), samesite="lax",
                        path=_PATH)  # fmt: skip
    return response


@router.get(f"{_PATH}/callback", include_in_schema=False)
async def come_back(
    here: Here,
    request: Request,
    state: Annotated[str, Query(max_length=400)] = "",
    code: Annotated[str, Query(max_length=4000)] = "",
    error: Annotated[str, Query(max_length=400)] = "",
) -> Response:
    """Come back from the issuer; whoever may not enter is told so on the page."""
    sign_in = _sign_in(here)
    try:
        if error or not code:
            raise ProblemError(401, "sign-in-refused", f"the issuer refused: {error or 'no code'}")
        who = await sign_in.finish(state=state, kept=request.cookies.get(_STATE, ""), code=code)
    except ProblemError as refused:
        response = _told_on_the_page(refused)
    else:
        response = RedirectResponse("/", status_code=302)
        await give_session(here, who, response)
    response.delete_cookie(_STATE, path=_PATH)
    response.headers["Cache-Control"] = "no-store"
    return response


def _told_on_the_page(refused: ProblemError) -> Response:
    # By its kind alone: the page has words of its own, so that a made-up link can show no others.
    return RedirectResponse(f"/#/refused/{refused.kind}", status_code=302)


def _sign_in(here: Context) -> SignIn:
    if here.sign_in is None:
        raise ProblemError(
            404, "no-sign-in", "this console knows no issuer to sign in at", hint="set oidc.client_id, or use a key"
        )
    return here.sign_in


def _own_url(here: Context, request: Request) -> str:
    return (here.config.url or str(request.base_url)).rstrip("/")


def _secure(here: Context) -> bool:
    return here.config.url.startswith("https://")
