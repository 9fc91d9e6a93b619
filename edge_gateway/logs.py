"""Log lines for people, or for machines: one JSON object a line, with the names that a line attaches to its values."""

import contextlib
import json
import logging
import re
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

__all__ = ["LOG_FORMATS", "JsonLines", "log_to", "speaking_of"]

LOG_FORMATS = ("text", "json")

# Of which gateway a process with several speaks just now.
_device: ContextVar[str] = ContextVar("device", default="")

_NAMED = re.compile(r"([a-z][a-z0-9_-]*)=%[-+ #0-9.]*([a-z])")


class JsonLines(logging.Formatter):
    """Writes `slot activated: slot=%s model=%s` as event, slot and model; numbers stay numbers.

    >>> record = logging.LogRecord("x", 20, "", 0, "syncing: records=%d after-s=%.1f", (7, 1.25), None)
    >>> found = json.loads(JsonLines().format(record))
    >>> found["event"], found["records"], found["after_s"]
    ('syncing', 7, 1.25)
    """

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": message,
        }
        if device := _device.get():
            line["device"] = device
        if isinstance(record.args, tuple) and (named := _named(str(record.msg), record.args)):
            line |= {"event": str(record.msg).partition(":")[0], "message": message}
            # What a line says of itself never goes over what every line has.
            line |= {name: value for name, value in named.items() if name not in line}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class _Lines(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(device)s%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record.device = f"{device}: " if (device := _device.get()) else ""
        return super().format(record)


@contextlib.contextmanager
def speaking_of(device_id: str) -> Iterator[None]:
    """Name the gateway in every line that is logged within; an empty name stands for the only one there is."""
    token = _device.set(device_id)
    try:
        yield
    finally:
        _device.reset(token)


def log_to(stream: TextIO, style: str) -> None:
    """Write the log of this process to a stream, in one of `LOG_FORMATS`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines() if style == "json" else _Lines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # One line a request to the registry is more than anyone wants to read.
    logging.getLogger("httpx2").setLevel(logging.WARNING)


def _named(template: str, values: tuple[object, ...]) -> dict[str, object]:
    """Return the values of a template by their names; empty where any has none."""
    found = _NAMED.findall(template)
    if len(found) != len(values) or template.count("%") != len(found):
        return {}
    return {
        name.replace("-", "_"): value if isinstance(value, int | float | bool) else str(value)
        for (name, _), value in zip(found, values, strict=True)
    }
