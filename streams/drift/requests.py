"""What operators ask of alerts: acknowledge them, or silence what matches."""

import json

from schemas.drift_alert import DriftAlert
from schemas.errors import DriftlineError
from schemas.operators import OperatorRequest
from streams.drift.alerts import AlertBook, Silence

__all__ = ["RequestError", "heed"]


class RequestError(DriftlineError):
    """A request that cannot be understood."""


def heed(book: AlertBook, request: OperatorRequest) -> list[DriftAlert]:
    """Do what a request asks of this book's alerts; returns the alerts that it changed.

    `acknowledge` is about alert/<alert_id>. `silence` takes `until_ms` and `matchers` (JSON, names to patterns).
    Requests about anything else change nothing here.
    """
    kind, _, name = request.subject.partition("/")
    if request.action == "acknowledge" and kind == "alert":
        alert = book.acknowledge(name, request.who, request.at_ms)
        return [] if alert is None else [alert]
    if request.action == "silence":
        return book.silence(_silence(request), request.at_ms)
    return []


def _silence(request: OperatorRequest) -> Silence:
    until, matchers = request.arguments.get("until_ms", ""), request.arguments.get("matchers", "")
    if not until.isdigit():
        raise RequestError(f"request {request.request_id}: until_ms: found {until!r}, wanted milliseconds since 1970")
    try:
        read = json.loads(matchers)
    except ValueError:
        read = None
    if not isinstance(read, dict) or not read or not all(isinstance(value, str) for value in read.values()):
        raise RequestError(
            f"request {request.request_id}: matchers: found {matchers!r}, wanted names to patterns, JSON"
        )
    return Silence(silence_id=request.request_id, until_ms=int(until), matchers=read)
