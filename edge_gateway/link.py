"""What carries records out of the spool, whatever the way: Kafka itself, or a bridge in front of it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, Protocol

from edge_gateway.spool import Spooled
from schemas.tracing import Context, span

__all__ = ["Failure", "Link", "Origin", "Settled", "sending"]

_WINDOWS = "telemetry.feature-stats"


class Failure(NamedTuple):
    """Why a record is not there; `for_good` when nobody will ever take it."""

    why: str
    for_good: bool = False


class Origin(NamedTuple):
    """Whose records these are, and the life of the spool that numbers them."""

    source: str
    boot_id: str


Settled = Callable[[Failure | None], None]


class Link(Protocol):
    """Takes records, and says later what became of each."""

    @property
    def ready(self) -> bool:
        """There is a point in sending; whether anybody answers is another matter."""

    def send(self, record: Spooled, definition: str, origin: Origin, settled: Settled) -> None:
        """Hand a record over; `settled(failure or None)` is called from `poll`, or at once.

        `RegistryAwayError` and `IncompatibleSchemaError`: nothing was handed over.
        """

    def poll(self, timeout_s: float = 0.0) -> None: ...

    def close(self, timeout_s: float) -> None: ...


def sending(record: Spooled) -> AbstractContextManager[Context]:
    """Tell of the sending of a window, where its trace begins; other records begin none."""
    return span("send a window", {"device": record.key}) if record.topic == _WINDOWS else nullcontext(())
