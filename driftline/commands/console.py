"""`driftline console`: the REST API and the page."""

import gc
import logging
import signal
import socket
import time
from dataclasses import replace

import click

from driftline.cluster_options import on_a_cluster
from driftline.settings import Settings
from schemas.errors import DriftlineError

__all__ = ["console", "listen"]


@click.command(epilog="Example: driftline console --port 8000")
@click.option("--host", help="The address to listen on; loopback unless said otherwise.")
@click.option("--port", type=click.IntRange(0, 65535), help="8000 unless said otherwise.")
@click.option("--policy-key", default="", help="Signs policies that are issued here: file:PATH, env:NAME or hsm:….")
@on_a_cluster
def console(settings: Settings, host: str | None, port: int | None, policy_key: str) -> None:
    """Serve the REST API and the page; settings are in [console] of driftline.toml."""
    import uvicorn

    from console import AuthStore, ConsoleConfig, first_link, make_console
    from driftline.lending import lent_by_rooms

    config = settings.section("console", ConsoleConfig)
    config = replace(config, host=host or config.host, port=config.port if port is None else port)
    folder = config.data or settings.data / "console"
    # Before anything is opened or printed: with port 0 the system chooses one.
    listening = listen(config.host, config.port)
    port = listening.getsockname()[1]
    cluster = settings.cluster()
    lent = lent_by_rooms(cluster, folder / "backtests", policy_key=policy_key, cache_dir=settings.cache)
    store = AuthStore(folder / "console.db")
    app = make_console(cluster, settings.redis, store, config, lent=lent, cache_dir=settings.cache)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    url = config.url.rstrip("/") or f"http://{_in_url(config.host)}:{port}"
    click.echo(f"console: {url}")
    if link := first_link(store, url, now_ms=time.time_ns() // 1_000_000):
        click.echo(f"no admin yet; this link makes one, once, within a day: {link}")
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            # Whoever tries keys must not choose the address that the tries are counted against.
            proxy_headers=False,
            timeout_graceful_shutdown=3,
        )
    )
    # Once it has shut down, the server raises the signal again that ended it; by then all is done.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    # What is loaded by now stays: no question should wait while the collector looks through all of it.
    gc.collect()
    gc.freeze()
    server.run(sockets=[listening])
    store.close()


def listen(host: str, port: int) -> socket.socket:
    """Return the socket that the console answers on."""
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        # Connections inherit it; asyncio does not set it itself on a socket that it is handed, and then a body waits
        # 40 ms for its head to be acknowledged.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        raise DriftlineError(
            f"the console cannot listen on {host}:{port}: {error.strerror or error}", hint="choose another --port"
        ) from None
    return listening


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
