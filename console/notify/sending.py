"""Sending: Apprise for its hundred services, and handlers that other packages bring as entry points.

A handler is a callable `(due, title, text) -> bool` registered in the group `driftline.notify`; a route names it as
`handler://NAME`.
"""

import logging
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points

import apprise

from console.notify.message import as_text, title_of
from console.notify.plan import Due
from schemas.errors import DriftlineError

__all__ = ["Handler", "Sender", "installed_handlers"]

log = logging.getLogger(__name__)

Handler = Callable[[Due, str, str], bool]
_OURS = "handler://"


def installed_handlers() -> dict[str, Handler]:
    """Return the handlers of installed packages by name."""
    return {found.name: found.load() for found in entry_points(group="driftline.notify")}


class Sender:
    """Knows every address of the routes, so that a wrong one is found at the start and not at night."""

    def __init__(self, addresses: Mapping[str, tuple[str, ...]], url: str, handlers: Mapping[str, Handler]) -> None:
        self._url = url
        self._handlers = handlers
        for route, some in addresses.items():
            for number, address in enumerate(some, 1):
                self._check(route, number, address)

    def send(self, due: Due) -> list[int]:
        """Send to every address; return the places, from 0, of those that failed."""
        title, text = title_of(due), as_text(due, self._url)
        return [place for place, address in enumerate(due.to) if not self._sent(address, due, title, text)]

    def _sent(self, address: str, due: Due, title: str, text: str) -> bool:
        try:
            if address.startswith(_OURS):
                return self._handlers[address.removeprefix(_OURS)](due, title, text)
            post = apprise.Apprise()
            post.add(address)
            return bool(post.notify(body=text, title=title, body_format=apprise.NotifyFormat.TEXT))
        except Exception:
            # A handler is somebody else's: whatever it does, others are still told.
            log.exception("not told: route=%s", due.route)
            return False

    def _check(self, route: str, number: int, address: str) -> None:
        # An address may hold a password: it is named by its place.
        if address.startswith(_OURS):
            name = address.removeprefix(_OURS)
            if name not in self._handlers:
                known = ", ".join(sorted(self._handlers)) or "none"
                raise DriftlineError(f"route {route!r}, address {number}: no handler {name!r}; known: {known}")
        elif not apprise.Apprise().add(address):
            scheme = address.partition("://")[0]
            raise DriftlineError(
                f"route {route!r}, address {number}: not understood ({scheme}://…)",
                hint="see Apprise's list of services for how an address is written",
            )
