"""Looking at one thing after another, and saying what is wrong and what to do."""

from collections.abc import Callable
from dataclasses import dataclass

from schemas.errors import DriftlineError

__all__ = ["Finding", "look"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    well: bool
    said: str
    hint: str = ""

    def __str__(self) -> str:
        line = f"{'ok  ' if self.well else 'BAD '} {self.what:10} {self.said}"
        return f"{line}\n     {'':10} hint: {self.hint}" if self.hint else line


def look(what: str, question: Callable[[], str]) -> Finding:
    """Return what the question's answer, or its refusal, says.

    >>> print(look("disk", lambda: "3 MiB free"))
    ok   disk       3 MiB free
    """
    try:
        return Finding(what, True, question())
    except DriftlineError as error:
        return Finding(what, False, str(error), error.hint)
    except OSError as error:
        return Finding(what, False, str(error))
