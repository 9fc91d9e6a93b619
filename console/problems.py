"""Errors as RFC 9457 has them: every refusal says what was found, what was wanted, and what to do next."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from schemas.errors import DriftlineError

__all__ = ["PROBLEM", "PROBLEMS", "ProblemError", "answer_problems", "not_found", "problem_response"]

PROBLEM = "application/problem+json"

_DESCRIBED: dict[str, Any] = {
    "description": "A problem: what was found, what was wanted.",
    "content": {
        PROBLEM: {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "detail"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "hint": {"type": "string"},
                },
            },
            "example": {
                "type": "urn:driftline:problem:no-device",
                "title": "Not found",
                "status": 404,
                "detail": "no device 'press-7'",
            },
        }
    },
}
# For every route's description.
PROBLEMS: dict[int | str, dict[str, Any]] = dict.fromkeys(("4XX", 422, 503), _DESCRIBED)

_TITLES = {
    400: "Bad request",
    401: "Who are you?",
    403: "Not yours to do",
    404: "Not found",
    405: "Method not allowed",
    409: "Refused",
    412: "Changed meanwhile",
    413: "Too large",
    415: "Wrong kind of body",
    422: "Not understood",
    429: "Too many tries",
    500: "Our fault",
    503: "Away",
}


class ProblemError(DriftlineError):
    """Something the API refuses; `kind` is what clients tell it by."""

    def __init__(
        self, status: int, kind: str, detail: str, *, hint: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail, hint=hint)
        self.status, self.kind, self.headers = status, kind, dict(headers or {})


def not_found(what: str, name: str) -> ProblemError:
    return ProblemError(404, f"no-{what}", f"no {what} {name!r}")


def problem_response(
    status: int,
    kind: str,
    detail: str,
    *,
    hint: str = "",
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> JSONResponse:
    body = {
        "type": f"urn:driftline:problem:{kind}",
        "title": _TITLES.get(status, "Problem"),
        "status": status,
        "detail": detail,
    }
    if hint:
        body["hint"] = hint
    return JSONResponse(
        {**body, **(more or {})},
        status_code=status,
        media_type=PROBLEM,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def answer_problems(app: FastAPI) -> None:
    """Let every error of the app leave it as a problem."""
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RedisError, _redis_away)
    app.add_exception_handler(DriftlineError, _refused)
    app.add_exception_handler(Exception, _ours)


async def _problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101 - as registered.
    return problem_response(error.status, error.kind, str(error), hint=error.hint, headers=error.headers)


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    found = [{"where": ".".join(str(part) for part in one["loc"]), "wanted": one["msg"]} for one in error.errors()[:20]]
    told = "; ".join(f"{one['where']}: {one['wanted']}" for one in found[:3])
    return problem_response(422, "not-understood", told, more={"errors": found})


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    path = request.url.path[:200]
    if error.status_code == 404:
        return problem_response(404, "no-such-page", f"there is nothing at {path}", hint="/docs lists what there is")
    if error.status_code == 405:
        allowed = _methods(request)
        detail = f"{path} takes {allowed}, not {request.method[:40]}"
        return problem_response(405, "no-such-method", detail, headers={"Allow": allowed})
    return problem_response(error.status_code, "refused", str(error.detail), headers=error.headers)


def _methods(request: Request) -> str:
    """Return what the path takes, of all its routes: the one that refused knows of its own methods only."""
    found: set[str] = set()
    for route in request.app.state.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return ", ".join(sorted(found | ({"HEAD"} if "GET" in found else set())))


async def _redis_away(_request: Request, _error: Exception) -> Response:
    return problem_response(
        503,
        "redis-away",
        "the views cannot be read: Redis does not answer; the fleet itself does not depend on it",
        hint="`driftline doctor` says where it was looked for; everything recovers by itself once it answers",
        headers={"Retry-After": "2"},
    )


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, DriftlineError)  # noqa: S101
    return problem_response(409, "refused", str(error), hint=error.hint)


async def _ours(_request: Request, error: Exception) -> Response:
    return problem_response(500, "our-fault", f"the console failed: {type(error).__name__}", hint="its log says more")
