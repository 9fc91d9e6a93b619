"""Alerts that go on as they are: until when the next windows, if they show the same, change nothing of them."""

from collections.abc import Mapping

from schemas.drift_alert import AlertState
from streams.drift.alerts import AlertBook, Key, Live
from streams.drift.observed import Observation
from streams.drift.policy import Life

__all__ = ["FOR_EVER", "same_until_ms"]

FOR_EVER = 2**62


def same_until_ms(book: AlertBook, seen: Observation, life: Life) -> int:
    """Return the event time until which further observations like the last one would change nothing in a book.

    0 where even the next one changes something: a count of windows, if not an alert. Milder breaches are like graver
    ones, for an alert keeps its severity. A book with silences is another matter; a backtest's has none.
    """
    breached = {(breach.feature, breach.family, seen.horizon_ms) for breach in seen.breaches}
    live = book.live.get(seen.subject, {})
    mine: Mapping[Key, Live] = {key: held for key, held in live.items() if key[2] == seen.horizon_ms}
    if not breached <= mine.keys():
        return 0
    return min((_of_alert(held, key in breached, life) for key, held in mine.items()), default=FOR_EVER)


def _of_alert(held: Live, breached: bool, life: Life) -> int:
    alert = held.alert
    if alert.state is AlertState.RESOLVED and not breached:
        # Forgotten once it is longer ago than a flap.
        return alert.changed_ms + life.flap_ms + 1
    full = (1 << life.of_windows) - 1
    if alert.state is not AlertState.FIRING or not breached or held.history != full or held.quiet:
        return 0
    return FOR_EVER if alert.escalated or alert.silenced else alert.opened_ms + life.escalate_after_ms
