"""Fetching bundles: over HTTP with resumption, or from a folder; measured, limited, and checked while it streams."""

import contextlib
import errno
import hashlib
import http.client
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from edge_gateway.config import UpdateConfig
from edge_gateway.errors import DownloadError
from edge_gateway.events import Order
from edge_gateway.resources import disk_free_bytes
from trust.bundle import MAX_BUNDLE_BYTES

__all__ = ["CancelledError", "fetch"]

_CHUNK = 64 * 1024
_TIMEOUT_S = 20.0
# Statuses that another try may well change; other refusals are meant.
_PASSING = {408, 425, 429}


class CancelledError(DownloadError):
    """A newer command came; what was fetched so far stays."""


def fetch(order: Order, store: Path, config: UpdateConfig, *, cancel: threading.Event) -> Path:
    """Return the bundle's file in the store, whole and with the promised digest; an interrupted one is gone on with."""
    whole, part = store / f"{order.sha256}.bundle", store / f"{order.sha256}.part"
    store.mkdir(parents=True, exist_ok=True)
    if whole.exists():
        if _digest_of(whole) == order.sha256:
            return whole
        # Flash forgets; the file is fetched anew.
        whole.unlink()
    _check(order, store, part, config)
    try:
        _stream(order, part, config, cancel)
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise _told(order, part, error) from error
    found = _digest_of(part)
    if found != order.sha256:
        part.unlink()
        raise DownloadError(
            f"{order.url} gave {found:.12}; the command promised {order.sha256:.12}; the active slot is untouched",
            hint="re-publish the release once the store's copy is whole",
            for_good=True,
        )
    _keep(part, whole)
    return whole


def _check(order: Order, store: Path, part: Path, config: UpdateConfig) -> None:
    scheme = urlsplit(order.url).scheme
    if scheme not in config.schemes:
        raise DownloadError(
            f"{order.url!r} has scheme {scheme!r}; this gateway fetches by {', '.join(config.schemes)}", for_good=True
        )
    if not 0 < order.size <= MAX_BUNDLE_BYTES:
        raise DownloadError(f"a bundle of {order.size} bytes; wanted: 1 to {MAX_BUNDLE_BYTES}", for_good=True)
    have = part.stat().st_size if part.exists() else 0
    # Once in the store, and once more where slots cannot share its blocks.
    needed, free = 2 * order.size - have + config.reserve_bytes, disk_free_bytes(store)
    if free < needed:
        raise DownloadError(f"{free} bytes are free; the bundle needs {needed}", hint="make room on the device")


def _stream(order: Order, part: Path, config: UpdateConfig, cancel: threading.Event) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have > order.size:
        part.unlink()
        have = 0
    if have == order.size:
        return
    with _opened(order.url, have) as (source, begins), part.open("r+b" if begins else "wb") as file:
        file.seek(begins)
        file.truncate()
        try:
            _copy(order, source, file, begins, config, cancel)
        finally:
            # What has arrived survives a power cut, so that the next try goes on from it.
            file.flush()
            os.fsync(file.fileno())


def _copy(
    order: Order, source: IO[bytes], file: IO[bytes], begins: int, config: UpdateConfig, cancel: threading.Event
) -> None:
    arrived, started_s = begins, time.monotonic()
    while chunk := source.read(_CHUNK):
        arrived += len(chunk)
        if arrived > order.size:
            raise DownloadError(f"{order.url} has more than the promised {order.size} bytes", for_good=True)
        file.write(chunk)
        ahead_s = 0.0
        if config.download_bytes_per_s:
            ahead_s = (arrived - begins) / config.download_bytes_per_s - (time.monotonic() - started_s)
        if cancel.wait(max(ahead_s, 0.0)):
            raise CancelledError(f"stopped at {arrived} of {order.size} bytes")
    if arrived < order.size:
        raise DownloadError(f"{order.url} ended at {arrived} of {order.size} bytes")


@contextlib.contextmanager
def _opened(url: str, have: int) -> Iterator[tuple[IO[bytes], int]]:
    """Open the URL from byte `have` on; yields where it really begins."""
    if urlsplit(url).scheme == "file":
        with Path(unquote(urlsplit(url).path)).open("rb") as file:
            file.seek(have)
            yield file, have
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
            raise
        # What lies here cannot be a beginning of what lies there.
        response = urllib.request.urlopen(url, timeout=_TIMEOUT_S)  # noqa: S310
    with response:
        yield response, have if _continues(response, have) else 0


def _continues(response: http.client.HTTPResponse, have: int) -> bool:
    span = response.headers.get("Content-Range", "")
    return response.status == http.HTTPStatus.PARTIAL_CONTENT and span.startswith(f"bytes {have}-")


def _told(order: Order, part: Path, error: Exception) -> DownloadError:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DownloadError(f"{part}: {error.strerror}", hint="make room on the device")
    if isinstance(error, urllib.error.HTTPError):
        meant = 400 <= error.code < 500 and error.code not in _PASSING
        return DownloadError(f"{order.url} answers {error.code} {error.reason}", for_good=meant)
    return DownloadError(f"{order.url}: {error}")


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _keep(part: Path, whole: Path) -> None:
    part.replace(whole)
    folder = os.open(whole.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
