"""The way to Kafka over a bridge: records are put into parcels, one parcel at a time is under way."""

import json
import uuid
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

from edge_gateway.errors import BridgeAwayError
from edge_gateway.link import Failure, Origin, Settled, sending
from edge_gateway.spool import Spooled
from schemas.errors import BadRecordError, WrongValueError
from schemas.parcel import Letter, Parcel, Receipt
from schemas.schema_cache import fingerprint
from schemas.tracing import as_plain_context

__all__ = ["Carrier", "ParcelLink"]

# Large enough to compress well, small enough for a bad line; a larger record goes alone.
_PARCEL_BYTES = 256 * 1024


class Carrier(Protocol):
    def carry(self, parcel: Parcel) -> Receipt:
        """Bring a parcel to the bridge and wait for its receipt; `BridgeAwayError` where none comes."""

    def close(self) -> None: ...


class _Waiting(NamedTuple):
    letter: Letter
    definition: str
    settled: Settled


class ParcelLink:
    """Brings records to a bridge; what its receipt names is on the topics, acknowledged by the broker."""

    # The bridge asks for a schema when it needs one; nothing has to be known before.
    ready = True

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._queue: deque[_Waiting] = deque()
        self._boot_id = ""
        self._fingerprints: dict[str, str] = {}
        # Schemas that the bridge has asked for; they go along with the next letters that need them.
        self._wanted: set[str] = set()
        self._under_way: list[_Waiting] = []
        self._receipt: Future[Receipt] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bridge")

    def send(self, record: Spooled, definition: str, origin: Origin, settled: Settled) -> None:
        """See `Link`."""
        schema = self._fingerprints.get(definition)
        if schema is None:
            schema = self._fingerprints[definition] = fingerprint(json.loads(definition))
        with sending(record) as trace:
            letter = Letter(
                number=record.id, topic=record.topic, schema=schema, body=record.body, trace=as_plain_context(trace)
            )
        self._boot_id = origin.boot_id
        self._queue.append(_Waiting(letter, definition, settled))

    def poll(self, timeout_s: float = 0.0) -> None:
        """Settle what the bridge has answered for, and hand over the next parcel."""
        if self._receipt is not None:
            if not _done(self._receipt, timeout_s):
                return
            self._settle(self._receipt)
            self._receipt = None
        if self._queue:
            self._under_way = self._next()
            self._receipt = self._thread.submit(self._carrier.carry, self._parcel(self._under_way))

    def close(self, timeout_s: float) -> None:
        if self._receipt is not None:
            _done(self._receipt, timeout_s)
        # What is still under way is broken off; it goes out again at the next start.
        self._carrier.close()
        self._thread.shutdown(cancel_futures=True)

    def _next(self) -> list[_Waiting]:
        chosen = [self._queue.popleft()]
        size = len(chosen[0].letter.body)
        while self._queue and size + len(self._queue[0].letter.body) <= _PARCEL_BYTES:
            chosen.append(self._queue.popleft())
            size += len(chosen[-1].letter.body)
        return chosen

    def _parcel(self, waiting: list[_Waiting]) -> Parcel:
        return Parcel(
            parcel_id=str(uuid.uuid4()),
            boot_id=self._boot_id,
            letters=tuple(each.letter for each in waiting),
            definitions={each.letter.schema: each.definition for each in waiting if each.letter.schema in self._wanted},
        )

    def _settle(self, answered: "Future[Receipt]") -> None:
        under_way, self._under_way = self._under_way, []
        try:
            receipt = answered.result()
        except WrongValueError as error:
            # Only a single record that no parcel can hold is at fault by itself.
            self._fail(under_way, Failure(str(error), for_good=len(under_way) == 1))
        except (BridgeAwayError, BadRecordError) as error:
            self._fail(under_way, Failure(str(error)))
        else:
            self._wanted = set(receipt.wanted)
            taken = set(receipt.taken)
            for each in under_way:
                each.settled(None if each.letter.number in taken else _told(receipt, each.letter.number))

    def _fail(self, under_way: list[_Waiting], failure: Failure) -> None:
        # Who waits behind a parcel that did not get through would not get through either.
        for each in [*under_way, *self._queue]:
            each.settled(failure if each in under_way else Failure(failure.why))
        self._queue.clear()


def _done(receipt: "Future[Receipt]", timeout_s: float) -> bool:
    try:
        receipt.exception(timeout_s)
    except TimeoutError:
        return False
    return True


def _told(receipt: Receipt, number: int) -> Failure:
    refused = receipt.refused.get(str(number))
    return Failure(receipt.why or "the bridge did not say why") if refused is None else Failure(refused, for_good=True)
