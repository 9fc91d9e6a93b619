"""Who a request comes from, and whether they may."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request

from console.auth.oidc import OidcVerifier
from console.auth.roles import Principal, Role
from console.auth.store import AuthStore
from console.auth.throttle import Throttle
from console.problems import ProblemError

__all__ = ["COOKIE", "Guard", "allow"]

T = TypeVar("T")

COOKIE = "driftline_session"
_SAFE = {"GET", "HEAD", "OPTIONS"}
# How long a key that was checked is believed without the slow hash; a revoked one is forgotten at once.
_BELIEVE_S = 300.0
_MOST_BELIEVED = 10_000


class Guard:
    """Knows a request by its session, its API key or its token."""

    def __init__(
        self, store: AuthStore, oidc: OidcVerifier | None, *, now_ms: Callable[[], int], session_ms: int
    ) -> None:
        self.store = store
        self.session_ms = session_ms
        self.now_ms = now_ms
        self._oidc = oidc
        self._throttle = Throttle()
        self._believed: dict[str, tuple[Principal, float]] = {}
        # The slow hash takes 64 MiB and a core: no more than two at a time,
        self._hashing = asyncio.Semaphore(2)
        # and one for all who come with the same key from the same address meanwhile.
        self._checking: dict[tuple[str, str], asyncio.Future[Principal | None]] = {}

    async def principal(self, request: Request) -> Principal:
        """Return who asks, or raise a 401 problem."""
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        key = request.headers.get("x-api-key", "")
        if scheme.lower() == "bearer" and credentials.startswith("dl_"):
            key = credentials
        if key:
            return await self.check_key(key, _address(request))
        if scheme.lower() == "bearer" and self._oidc is not None:
            return await self._oidc.check(credentials)
        token = request.cookies.get(COOKIE, "")
        found = self.store.session(token, now_ms=self.now_ms()) if token else None
        if found is None:
            raise ProblemError(
                401,
                "who-are-you",
                "no valid API key, token or session",
                hint="send `Authorization: Bearer <key or token>`, or sign in on the page",
                headers={"WWW-Authenticate": 'Bearer realm="driftline"'},
            )
        if request.method not in _SAFE:
            _require_same_origin(request)
        return found

    async def check_key(self, key: str, address: str) -> Principal:
        """Say who a key belongs to; who tries often in vain has to wait."""
        digest = hashlib.sha256(key.encode()).hexdigest()
        believed = self._believed.get(digest)
        if believed is not None and believed[1] > time.monotonic() and self.store.in_use(believed[0].key_id):
            return believed[0]
        checking = self._checking.get((digest, address))
        if checking is None:
            checking = asyncio.ensure_future(self.slowly(address, lambda: self.store.check_key(key)))
            self._checking[digest, address] = checking
            checking.add_done_callback(lambda done: self._checked((digest, address), done))
        # Whoever hangs up leaves it to the others.
        found = await asyncio.shield(checking)
        if found is None:
            raise ProblemError(
                401, "bad-key", "the API key is unknown or revoked", headers={"WWW-Authenticate": "Bearer"}
            )
        if len(self._believed) >= _MOST_BELIEVED:
            self._believed.clear()
        self._believed[digest] = (found, time.monotonic() + _BELIEVE_S)
        return found

    def _checked(self, which: tuple[str, str], done: "asyncio.Future[Principal | None]") -> None:
        del self._checking[which]
        if not done.cancelled():
            # Nobody may be left to hear of it.
            done.exception()

    async def slowly(self, address: str, check: Callable[[], T | None]) -> T | None:
        """Run a check that hashes; failures count against the address."""
        wait_ms = self._throttle.wait_ms(address, now_ms=self.now_ms())
        if wait_ms:
            seconds = -(-wait_ms // 1000)
            raise ProblemError(
                429, "too-many-tries", f"too many failed tries; wait {seconds} s", headers={"Retry-After": str(seconds)}
            )
        async with self._hashing:
            found = await asyncio.to_thread(check)
        if found is None:
            self._throttle.failed(address, now_ms=self.now_ms())
        else:
            self._throttle.succeeded(address)
        return found


def allow(role: Role) -> Callable[[Request], Awaitable[Principal]]:
    """Make the dependency that lets only `role` and those above it in."""

    async def check(request: Request) -> Principal:
        guard: Guard = request.app.state.guard
        principal = await guard.principal(request)
        if not principal.role.covers(role):
            raise ProblemError(
                403, "not-yours", f"this needs the role {role.value}; {principal.name} has {principal.role.value}"
            )
        return principal

    return check


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _require_same_origin(request: Request) -> None:
    """Refuse what another site made the browser send along with our cookie."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    same = site == "same-origin" if site else origin is None or origin.partition("://")[2] == request.headers["host"]
    if not same:
        raise ProblemError(403, "foreign-origin", "a page of another origin may not act in your name")
