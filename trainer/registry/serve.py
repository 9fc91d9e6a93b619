"""Bundles over HTTP, for gateways: with ranges, so that a cut download goes on where it stopped, and with ETags.

Nothing here is secret or trusted: a gateway believes a digest and a signature, never a server.
"""

from pathlib import Path

from aiohttp import web

__all__ = ["bundle_server"]

# Names are matched by their characters, so none leads out of the folder.
_BUNDLES = "/bundles/{name:[0-9a-f]{64}\\.bundle}"
_KEYRINGS = "/keyrings/{name:[0-9]{1,9}\\.json}"


def bundle_server(folder: Path) -> web.Application:
    """Return the application: `/bundles/<sha256>.bundle`, `/keyrings/<version>.json`, `/health`."""

    async def bundle(request: web.Request) -> web.StreamResponse:
        return _file(folder / "bundles" / request.match_info["name"], "public, max-age=31536000, immutable")

    async def keyring(request: web.Request) -> web.StreamResponse:
        return _file(folder / "keyrings" / request.match_info["name"], "no-cache")

    async def health(_: web.Request) -> web.StreamResponse:
        return web.json_response({"status": "ok"})

    application = web.Application()
    application.router.add_get(_BUNDLES, bundle)
    application.router.add_get(_KEYRINGS, keyring)
    application.router.add_get("/health", health)
    return application


def _file(path: Path, caching: str) -> web.StreamResponse:
    # The response reads ranges, If-None-Match and the like from the request, and answers 404 by itself.
    return web.FileResponse(path, headers={"Cache-Control": caching, "Content-Type": "application/octet-stream"})
