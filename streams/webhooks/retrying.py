"""What an answer means: delivered, to be tried again and when, or given up. Pure."""

import datetime as dt
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from streams.webhooks.subscription import Subscription

__all__ = ["Answer", "Delivered", "GiveUp", "Outcome", "TryAgain", "judge", "seconds_until"]

# The receiver has understood this event and will not have it, now or later.
_REFUSED = frozenset({400, 413, 415, 422})
_GONE = 410
# However long a receiver asks us to wait.
LONGEST_WAIT_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a status, or none and what went wrong."""

    status: int | None
    problem: str = ""
    retry_after_s: float | None = None

    def __str__(self) -> str:
        return self.problem if self.status is None else f"status {self.status}"


@dataclass(frozen=True, slots=True)
class Delivered:
    pass


@dataclass(frozen=True, slots=True)
class TryAgain:
    after_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    why: str


Outcome = Delivered | TryAgain | GiveUp


def judge(answer: Answer, subscription: Subscription, *, attempt: int, age_s: float, chance: float) -> Outcome:
    """Say what follows from the answer to the attempt, counted from 1; `chance`, 0 to 1, spreads the retries.

    >>> from streams.webhooks.signing import Secret
    >>> to = Subscription(name="a", url="http://a", topics=("audit.log",), secrets=(Secret(b"k"),))
    >>> judge(Answer(503), to, attempt=3, age_s=10, chance=1.0)
    TryAgain(after_s=4.0)
    """
    if answer.status is not None and 200 <= answer.status < 300:
        return Delivered()
    if answer.status in _REFUSED:
        return GiveUp(f"the receiver refused it with {answer}")
    if answer.status == _GONE:
        return GiveUp("the receiver says that it is gone for good, with status 410")
    if age_s > subscription.keep_s:
        return GiveUp(f"not delivered within {subscription.keep_s:g} s; at last: {answer}, attempt {attempt}")
    most_s = min(subscription.backoff_s * 2.0 ** min(attempt - 1, 60), subscription.backoff_most_s)
    # From half of it to all of it: receivers that come back should not meet everybody at once.
    after_s = most_s * (0.5 + 0.5 * chance)
    if answer.retry_after_s is not None:
        after_s = max(after_s, min(answer.retry_after_s, LONGEST_WAIT_S))
    return TryAgain(after_s)


def seconds_until(retry_after: str | None, now_s: float) -> float | None:
    """Read a Retry-After header, seconds or a date; None where it says nothing sensible.

    >>> seconds_until("120", 0.0), seconds_until("Thu, 01 Jan 1970 00:01:00 GMT", 0.0), seconds_until("soon", 0.0)
    (120.0, 60.0, None)
    """
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        moment = parsedate_to_datetime(retry_after)
    except (ValueError, TypeError):
        return None
    return max(0.0, moment.replace(tzinfo=moment.tzinfo or dt.UTC).timestamp() - now_s)
