"""Taking parcels in: a receipt names as taken only what Kafka has acknowledged; the rest stays with its sender."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from schemas.catalogue import topic_named
from schemas.dead_letter import dead_letter
from schemas.errors import BadRecordError, IncompatibleSchemaError, RegistryAwayError
from schemas.parcel import Parcel, Receipt, unpack
from schemas.tracing import context_from
from schemas.wire import Contract, body_header
from streams.bridge.admission import Admission, Admitted, Refused, Unknown
from streams.bridge.errors import BadParcelError, BusyError
from streams.kafka.producer import Outgoing

__all__ = ["Deliverer", "Intake"]

_log = logging.getLogger(__name__)

# Dead letters that one device may make in a minute; what else it sends in vain is only counted.
_LETTERS_PER_MINUTE = 10
_MINUTE_MS = 60_000


class Deliverer(Protocol):
    async def send(self, records: Sequence[Outgoing]) -> list[str]: ...


class Intake:
    """Takes the parcels of all devices; one at a time of each, so that a device's records keep their order."""

    def __init__(
        self, contract: Contract, delivery: Deliverer, *, now_ms: Callable[[], int], at_once: int = 1_000
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._contract = contract
        self._delivery = delivery
        self._now_ms = now_ms
        self._at_once = at_once
        self._admission = Admission()
        self._busy: set[str] = set()
        self._letters: Counter[str] = Counter()
        self._minute = 0

    @property
    def under_way(self) -> int:
        return len(self._busy)

    async def take(self, device_id: str, packed: bytes) -> Receipt:
        """Return when Kafka has answered for every letter that may pass."""
        if device_id in self._busy or len(self._busy) >= self._at_once:
            self.counts["parcels_postponed"] += 1
            raise BusyError(f"{device_id} has a parcel under way" if device_id in self._busy else "the bridge is busy")
        try:
            parcel = unpack(Parcel, packed)
        except BadRecordError as error:
            self.counts["parcels_bad"] += 1
            raise BadParcelError(str(error)) from error
        self._busy.add(device_id)
        try:
            return await self._take(device_id, parcel)
        finally:
            self._busy.discard(device_id)

    async def _take(self, device_id: str, parcel: Parcel) -> Receipt:
        judged = [self._admission.judge(device_id, letter, parcel.definitions) for letter in parcel.letters]
        refused = [each for each in judged if isinstance(each, Refused)]
        wanted = {each.letter.schema for each in judged if isinstance(each, Unknown)}
        taken, why = await self._deliver(device_id, parcel, [each for each in judged if isinstance(each, Admitted)])
        await self._bury(device_id, refused)
        self.counts["parcels_taken"] += 1
        self.counts["records_taken"] += len(taken)
        self.counts["records_refused"] += len(refused)
        if wanted and not why:
            why = f"{len(wanted)} schemas are not known here"
        return Receipt(
            parcel_id=parcel.parcel_id,
            taken=tuple(taken),
            refused={str(each.letter.number): each.reason for each in refused},
            wanted=tuple(sorted(wanted)),
            why=why,
        )

    async def _deliver(self, device_id: str, parcel: Parcel, admitted: list[Admitted]) -> tuple[list[int], str]:
        try:
            headers = await asyncio.to_thread(self._body_headers, admitted)
        except (RegistryAwayError, IncompatibleSchemaError) as error:
            return [], str(error)
        records = [
            Outgoing(
                self._contract.cluster.named(each.letter.topic),
                each.key,
                headers[each.letter.topic, each.letter.schema] + each.letter.body,
                (*_cloud_event(device_id, parcel, each), *context_from(each.letter.trace)),
            )
            for each in admitted
        ]
        answers = await self._delivery.send(records)
        taken = [each.letter.number for each, answer in zip(admitted, answers, strict=True) if not answer]
        return taken, next((answer for answer in answers if answer), "")

    def _body_headers(self, admitted: list[Admitted]) -> dict[tuple[str, str], bytes]:
        """Return what stands before the bodies; an id that is not known yet is asked for over the network."""
        schemas = {(each.letter.topic, each.letter.schema): each.schema for each in admitted}
        return {
            (topic, name): body_header(
                self._contract.registry.id_of(self._contract.subject_of(topic_named(topic)), schema)
            )
            for (topic, name), schema in schemas.items()
        }

    async def _bury(self, device_id: str, refused: list[Refused]) -> None:
        """Keep what was refused as dead letters, so far as one device may have them."""
        now_ms = self._now_ms()
        if now_ms // _MINUTE_MS != self._minute:
            self._minute = now_ms // _MINUTE_MS
            self._letters.clear()
        room = max(_LETTERS_PER_MINUTE - self._letters[device_id], 0)
        self._letters[device_id] += min(len(refused), room)
        records = []
        for each in refused[:room]:
            _log.warning("letter refused: device=%s number=%d why=%s", device_id, each.letter.number, each.reason)
            # It never was on a topic: its place is the one in its sender's spool.
            letter = dead_letter(
                source_topic=f"bridge/{device_id}",
                partition=0,
                offset=each.letter.number,
                key=None,
                value=each.letter.body,
                reason=each.reason,
                found_by="bridge",
                at_ms=now_ms,
            )
            try:
                key, value = await asyncio.to_thread(self._contract.encode, "dead-letters", letter)
            except RegistryAwayError as error:
                _log.warning("dead letter lost: device=%s why=%s", device_id, error)
                continue
            records.append(Outgoing(self._contract.cluster.named("dead-letters"), key, value))
        lost = [answer for answer in await self._delivery.send(records) if answer]
        self.counts["dead_letters_lost"] += len(lost)


def _cloud_event(device_id: str, parcel: Parcel, admitted: Admitted) -> tuple[tuple[str, bytes], ...]:
    # As a gateway on Kafka writes them; whose the record is, its certificate says.
    letter = admitted.letter
    return (
        ("ce_specversion", b"1.0"),
        ("ce_type", f"driftline.{topic_named(letter.topic).record.__name__}".encode()),
        ("ce_source", f"gateways/{device_id}".encode()),
        ("ce_id", f"{parcel.boot_id}/{letter.number}".encode()),
        ("content-type", b"application/avro"),
    )
