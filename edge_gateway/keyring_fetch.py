"""Fetching the keyring's successors: now and then, and at once when something is signed by a key that nobody knows."""

import http.client
import logging
import urllib.error
import urllib.request
from concurrent.futures import Executor, Future
from pathlib import Path
from random import Random
from urllib.parse import unquote, urlsplit

from edge_gateway.config import UpdateConfig
from edge_gateway.trusted import Trusted
from trust import TrustError
from trust.envelope import MAX_ENVELOPE_BYTES

__all__ = ["KeyringFetch"]

_log = logging.getLogger(__name__)

_TIMEOUT_S = 20.0
_FIRST_PAUSE_MS = 1_000
_LONGEST_PAUSE_MS = 600_000


class KeyringFetch:
    """Asks for version after version until there is no next one; without a place to ask it does nothing."""

    def __init__(self, config: UpdateConfig, trusted: Trusted, executor: Executor, rng: Random) -> None:
        self.taken: list[int] = []
        self._config = config
        self._trusted = trusted
        self._executor = executor
        self._rng = rng
        self._job: Future[bytes | None] | None = None
        self._next_ms = 0
        self._failures = 0
        self._wanted = False

    @property
    def deciding(self) -> bool:
        """Somebody wants to know, and there is no answer yet."""
        return self._wanted

    def want(self) -> bool:
        """Ask at once; False: there is nobody to ask."""
        if not self._config.keyrings:
            return False
        self._wanted, self._next_ms = True, 0
        return True

    def tick(self, now_ms: int) -> None:
        if not self._config.keyrings:
            return
        if self._job is not None:
            if self._job.done():
                self._take(self._job, now_ms)
        elif now_ms >= self._next_ms:
            url = f"{self._config.keyrings.rstrip('/')}/{self._trusted.keyring.version + 1}.json"
            self._job = self._executor.submit(_fetched, url)

    def _take(self, job: "Future[bytes | None]", now_ms: int) -> None:
        self._job = None
        try:
            envelope = job.result()
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            _log.warning("keyrings cannot be asked for: pause-ms=%d error=%s", self._pause(now_ms), error)
            return
        try:
            taken = envelope is not None and self._taken(envelope)
        except OSError as error:
            # Nobody is refused for a key that the next keyring may admit.
            _log.error(
                "keyring not kept: file=%s error=%s pause-ms=%d; make room, it is asked for again",
                error.filename,
                error.strerror,
                self._pause(now_ms),
            )
            return
        self._failures = 0
        if taken:
            # Perhaps there is one more.
            self._next_ms = 0
            return
        self._wanted = False
        self._next_ms = now_ms + int(self._config.keyrings_every_s * 1000 * self._rng.uniform(0.8, 1.0))

    def _pause(self, now_ms: int) -> int:
        """Wait, longer each time, before the next question; return for how long at most."""
        self._failures += 1
        pause_ms: int = min(_FIRST_PAUSE_MS * 2 ** min(self._failures - 1, 20), _LONGEST_PAUSE_MS)
        self._next_ms = now_ms + int(pause_ms * self._rng.uniform(0.5, 1.0))
        return pause_ms

    def _taken(self, envelope: bytes) -> bool:
        try:
            new = self._trusted.take(envelope)
        except TrustError as error:
            _log.error("keyring refused: %s", error)
            return False
        if new:
            _log.info("keyring taken: version=%d", self._trusted.keyring.version)
            self.taken.append(self._trusted.keyring.version)
        return new


def _fetched(url: str) -> bytes | None:
    """Return the file's content; None: there is no such file."""
    if urlsplit(url).scheme == "file":
        path = Path(unquote(urlsplit(url).path))
        return path.read_bytes()[:MAX_ENVELOPE_BYTES] if path.exists() else None
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:  # noqa: S310 - the scheme is checked
            content: bytes = response.read(MAX_ENVELOPE_BYTES)
            return content
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.NOT_FOUND:
            return None
        raise
