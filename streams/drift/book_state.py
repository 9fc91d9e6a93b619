"""A book of alerts as plain values, and back."""

from typing import Any

from schemas.drift_alert import DriftAlert
from schemas.record import as_plain, from_plain
from streams.drift.alerts import AlertBook, Live
from streams.drift.silences import Silence

__all__ = ["book_told", "told_to_book"]


def book_told(book: AlertBook) -> dict[str, Any]:
    """Return what `told_to_book` needs, fit for JSON."""
    return {
        "alerts": [
            [*key, as_plain(held.alert), held.history, held.quiet, held.returns]
            for alerts in book.live.values()
            for key, held in alerts.items()
        ],
        "ended": [[subject, *key, at_ms] for subject, ends in book.ended_ms.items() for key, at_ms in ends.items()],
        "silences": [[one.silence_id, one.until_ms, dict(one.matchers)] for one in book.silences.values()],
    }


def told_to_book(told: dict[str, Any], book: AlertBook) -> None:
    """Fill an empty book."""
    for feature, family, horizon_ms, alert, history, quiet, returns in told["alerts"]:
        held = Live(alert=from_plain(DriftAlert, alert), history=history, quiet=quiet, returns=returns)
        book.live.setdefault(held.alert.subject, {})[feature, family, horizon_ms] = held
    for subject, *key, at_ms in told["ended"]:
        book.ended_ms.setdefault(subject, {})[key[0], key[1], key[2]] = at_ms
    for silence_id, until_ms, matchers in told["silences"]:
        book.silences[silence_id] = Silence(silence_id=silence_id, until_ms=until_ms, matchers=matchers)
