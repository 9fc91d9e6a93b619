"""The console as one app: API, live updates, page."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import swagger_ui_bundle
from fastapi import FastAPI
from fastapi.responses import FileResponse
from redis.exceptions import RedisError
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from console.api import ROUTERS, Context
from console.auth import AuthStore, Guard, OidcVerifier, SignIn
from console.config import ConsoleConfig, OidcConfig
from console.desk import Desk
from console.fleet import Fleet
from console.lent import Lent
from console.live import Hub
from console.metrics import Metrics
from console.middleware import Counting, EntityTags, Heads, KnownHosts, SecurityHeaders, SizeLimit
from console.problems import PROBLEMS, answer_problems
from console.views import Views
from schemas.cluster import Cluster

__all__ = ["make_console"]

log = logging.getLogger(__name__)

_PAGE = Path(__file__).parent / "page"
_WARM_EVERY_S = 1.0
_ABOUT = """Reads what the views hold, asks the workers for changes in your name, and tells of news as they come.

Send `Authorization: Bearer <API key or OIDC token>`. Errors are problems (RFC 9457). Lists have `limit` and `cursor`.
Answers to GET carry an ETag. Changes take an `Idempotency-Key`; to policies, `If-Match` as well."""


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def make_console(
    cluster: Cluster,
    redis_url: str,
    store: AuthStore,
    config: ConsoleConfig,
    *,
    lent: Lent | None = None,
    cache_dir: Path | None = None,
    now_ms: Callable[[], int] = wall_ms,
) -> FastAPI:
    """Return the app; what it opens, it opens when it starts and closes when it ends."""
    metrics = Metrics()

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        async with httpx2.AsyncClient() as client:
            context = _context(cluster, redis_url, store, config, lent or Lent(), cache_dir, now_ms, client)
            app.state.context, app.state.guard = context, context.guard
            context.hub.start()
            warming = asyncio.create_task(_keep_warm(context.fleet))
            try:
                yield
            finally:
                warming.cancel()
                await context.hub.stop()
                await context.views.close()
                await asyncio.to_thread(context.desk.close)
                if context.lent.backtests is not None:
                    await asyncio.to_thread(context.lent.backtests.close)

    app = FastAPI(
        title="Driftline", version="1", description=_ABOUT, lifespan=life, docs_url=None, redoc_url=None,
        swagger_ui_oauth2_redirect_url=None, responses=PROBLEMS,
    )  # fmt: skip
    app.state.metrics = metrics
    app.state.routes = [route for router in ROUTERS for route in router.routes if isinstance(route, Route)]
    answer_problems(app)
    for router in ROUTERS:
        app.include_router(router)
    app.mount("/page", StaticFiles(directory=_PAGE), name="page")
    app.mount("/swagger", StaticFiles(directory=swagger_ui_bundle.swagger_ui_path), name="swagger")
    app.add_api_route("/", _index, include_in_schema=False)
    # The last one added is the first to see a request.
    app.add_middleware(EntityTags)
    app.add_middleware(Heads)
    app.add_middleware(SizeLimit)
    app.add_middleware(KnownHosts, hosts=config.hosts)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Counting, metrics=metrics)
    return app


def _context(
    cluster: Cluster,
    redis_url: str,
    store: AuthStore,
    config: ConsoleConfig,
    lent: Lent,
    cache_dir: Path | None,
    now_ms: Callable[[], int],
    client: httpx2.AsyncClient,
) -> Context:
    views = Views(redis_url, prefix=cluster.prefix)
    hub = Hub(cluster, cache_dir=cache_dir)
    oidc = OidcVerifier(config.oidc, client) if config.oidc.issuer else None
    return Context(
        config=config,
        views=views,
        fleet=Fleet(views),
        hub=hub,
        desk=Desk(cluster, hub, cache_dir=cache_dir, answer_s=config.answer_s, now_ms=now_ms),
        guard=Guard(store, oidc, now_ms=now_ms, session_ms=int(config.session_h * 3_600_000)),
        lent=lent,
        sign_in=_sign_in(config.oidc, oidc, client, now_ms),
    )


def _sign_in(
    config: OidcConfig, verifier: OidcVerifier | None, client: httpx2.AsyncClient, now_ms: Callable[[], int]
) -> SignIn | None:
    if verifier is None or not config.client_id:
        return None
    secret = config.client_secret_file.read_text().strip() if config.client_secret_file else ""
    return SignIn(config, verifier, client, secret=secret, now_ms=now_ms)


async def _index() -> FileResponse:
    return FileResponse(_PAGE / "index.html", headers={"Cache-Control": "no-cache"})


async def _keep_warm(fleet: Fleet) -> None:
    """Take in changes as they come, so that nobody's question waits for a thousand of them."""
    while True:
        try:
            await fleet.refresh()
        except RedisError as away:
            log.debug("the fleet is not refreshed: %s", away)
        await asyncio.sleep(_WARM_EVERY_S)
