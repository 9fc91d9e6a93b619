"""Books of many policies: those that hold the same of a device, and are told the same, are told of it once.

Policies that differ in one limit see most windows alike, and what a book holds of a subject is never changed in
place; so it may be in many books.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schemas.drift_alert import DriftAlert
from streams.backtest.steady import same_until_ms
from streams.drift.alerts import AlertBook, Key, Live
from streams.drift.observed import Observation
from streams.drift.policy import Life

__all__ = ["SharedBooks", "Told"]


@dataclass(frozen=True, slots=True)
class Told:
    """What a book says when it is told of a window, and holds of its subject from then on."""

    alerts: list[DriftAlert]
    live: dict[Key, Live] | None
    ended_ms: dict[Key, int] | None
    # Until when further windows like it change nothing.
    same_until_ms: int
    # What was held before: as long as it is known here, nothing else has its identity.
    before: tuple[Mapping[Key, Live] | None, Mapping[Key, int] | None]


class SharedBooks:
    """The books of policies by place, and how their alerts live."""

    def __init__(self, books: Sequence[AlertBook], lives: Sequence[Life]) -> None:
        self._books, self._lives = books, lives
        self._life_of = [list(dict.fromkeys(lives)).index(life) for life in lives]
        self._subject = ""
        self._known: dict[tuple[int, int, object, int], Told] = {}

    def turn_to(self, subject: str) -> None:
        """Begin with the next window, which is this subject's."""
        self._subject = subject
        self._known.clear()

    def known(self, policy: int, shows: object) -> Told | None:
        """Tell a policy's book what another one was told that held the same, if there was one; equal `shows` say so."""
        book, subject = self._books[policy], self._subject
        live, ended_ms = book.live.get(subject), book.ended_ms.get(subject)
        told = self._known.get((id(live), id(ended_ms), shows, self._life_of[policy]))
        if told is None:
            return None
        if told.live is not live:
            if told.live is None:
                del book.live[subject]
            else:
                book.live[subject] = told.live
        if told.ended_ms is not ended_ms and told.ended_ms is not None:
            book.ended_ms[subject] = told.ended_ms
        return told

    def observe(self, policy: int, shows: object, seen: Observation) -> Told:
        """Tell a policy's book of the window, on behalf of all that hold the same."""
        book, subject, life = self._books[policy], self._subject, self._lives[policy]
        before = book.live.get(subject), book.ended_ms.get(subject)
        alerts = book.observe(seen, life)
        told = Told(
            alerts, book.live.get(subject), book.ended_ms.get(subject), same_until_ms(book, seen, life), before
        )  # fmt: skip
        self._known[id(before[0]), id(before[1]), shows, self._life_of[policy]] = told
        return told
