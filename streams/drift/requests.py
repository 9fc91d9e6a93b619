"""What operators ask of alerts: acknowledge them, silence what matches, end a silence."""

import json

from schemas.drift_alert import DriftAlert
from schemas.errors import DriftlineError
from schemas.operators import OperatorRequest
from streams.drift.alerts import AlertBook
from streams.drift.silences import MATCHED, Silence

__all__ = ["RequestError", "heed", "is_about_silence"]


class RequestError(DriftlineError):
    """A request that cannot be understood."""


def heed(book: AlertBook, request: OperatorRequest) -> list[DriftAlert]:
    """Do what a request asks of this book's alerts; returns the alerts that it changed.

    `acknowledge` is about alert/<alert_id>. `silence` is about silence/<name> and takes `until_ms` and `matchers`
    (JSON, names to patterns); `unsilence` ends it. Requests about anything else change nothing here.
    """
    kind, _, name = request.subject.partition("/")
    match request.action, kind:
        case "acknowledge", "alert":
            alert = book.acknowledge(name, request.who, request.at_ms)
            return [] if alert is None else [alert]
        case "silence", "silence":
            return book.silence(_silence(request, name), request.at_ms)
        case "unsilence", "silence":
            return book.unsilence(name, request.at_ms)
        case _:
            return []


def is_about_silence(request: OperatorRequest) -> bool:
    return request.action in ("silence", "unsilence") and request.subject.startswith("silence/")


def _silence(request: OperatorRequest, name: str) -> Silence:
    until, matchers = request.arguments.get("until_ms", ""), request.arguments.get("matchers", "")
    if not (until.isascii() and until.isdigit()):
        raise RequestError(f"request {request.request_id}: until_ms: found {until!r}, wanted milliseconds since 1970")
    try:
        read = json.loads(matchers)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict) or not read or not all(isinstance(value, str) for value in read.values()):
        raise RequestError(
            f"request {request.request_id}: matchers: found {matchers!r}, wanted names to patterns, JSON; "
            f"names: {', '.join(MATCHED)}, or a label's"
        )
    return Silence(silence_id=name, until_ms=int(until), matchers=read)
