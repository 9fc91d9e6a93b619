"""Log lines for people, or for machines: one JSON object a line, with the names that a line attaches to its values."""

import json
import logging
import re
from datetime import UTC, datetime
from typing import TextIO

__all__ = ["LOG_FORMATS", "JsonLines", "log_to"]

LOG_FORMATS = ("text", "json")

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
        if isinstance(record.args, tuple) and (named := _named(str(record.msg), record.args)):
            line |= {"event": str(record.msg).partition(":")[0], "message": message}
            # What a line says of itself never goes over what every line has.
            line |= {name: value for name, value in named.items() if name not in line}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def log_to(stream: TextIO, style: str) -> None:
    """Write the log of this process to a stream, in one of `LOG_FORMATS`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines() if style == "json" else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
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
