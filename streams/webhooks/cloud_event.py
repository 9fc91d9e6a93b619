"""Records as CloudEvents 1.0 over HTTP, in structured or in binary mode."""

import base64
import datetime as dt
import json
import math
from dataclasses import dataclass
from typing import Any

from schemas.record import as_plain

__all__ = ["CloudEvent", "event_of"]


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """One event; `id` is the same however often and by whomever the record is delivered."""

    id: str
    source: str
    type: str
    subject: str
    time: str
    data: dict[str, Any]

    def rendered(self, mode: str) -> tuple[dict[str, str], bytes]:
        """Return headers and body."""
        attributes = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "subject": self.subject,
            "time": self.time,
        }
        if mode == "binary":
            headers = {f"ce-{name}": _in_header(value) for name, value in attributes.items()}
            return {**headers, "content-type": "application/json"}, _json(self.data)
        whole = {**attributes, "datacontenttype": "application/json", "data": self.data}
        return {"content-type": "application/cloudevents+json; charset=utf-8"}, _json(whole)


def event_of(
    record: Any, *, topic: str, full_name: str, key: str, partition: int, offset: int, at_ms: int
) -> CloudEvent:
    """Return the event of a record; `full_name` is its topic's name on the cluster, prefix included."""
    moment = dt.datetime.fromtimestamp(at_ms / 1_000, dt.UTC)
    return CloudEvent(
        id=f"{full_name}/{partition}/{offset}",
        source=f"/driftline/{full_name}",
        type=f"driftline.{topic}",
        subject=key,
        time=moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        data=_readable(as_plain(record)),
    )


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _readable(value: Any) -> Any:
    match value:
        case dict():
            return {name: _readable(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_readable(inner) for inner in value]
        case bytes():
            return base64.b64encode(value).decode()
        case float() if not math.isfinite(value):
            return None
    return value


def _in_header(text: str) -> str:
    """Encode as CloudEvents' HTTP binding wants it: what is not printable ASCII, and quotes, by percent."""
    plain = (chr(byte) if 0x21 <= byte <= 0x7E and byte not in b'"%' else f"%{byte:02X}" for byte in text.encode())
    return "".join(plain)
