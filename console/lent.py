"""What other rooms lend to the console, which imports none of them: checks, forecasts, backtests."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from schemas.fleet import Device

__all__ = ["Backtests", "Lent"]


class Backtests(Protocol):
    """Runs backtests beside the console, one at a time."""

    def start(self, order: Mapping[str, Any], who: str) -> str: ...

    def all(self) -> Sequence[Mapping[str, Any]]: ...

    def get(self, backtest_id: str) -> Mapping[str, Any] | None: ...

    def report(self, backtest_id: str) -> Path | None: ...

    def cancel(self, backtest_id: str) -> bool: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Lent:
    """Each raises a DriftlineError that says what is wrong; None: not to be had in this installation."""

    # A rollout's plan as JSON -> its id and its canonical document.
    check_plan: Callable[[Mapping[str, Any]], tuple[str, str]] | None = None
    # The plan and the fleet -> what each stage would do.
    foresee: Callable[[Mapping[str, Any], Sequence[Device]], list[dict[str, Any]]] | None = None
    check_policy: Callable[[str], None] | None = None
    # Name, document, who, why, the only revisions that it may follow -> the revision under which it was signed and
    # published; None: the newest is another, or somebody else has published at the same time.
    issue_policy: Callable[[str, str, str, str, Collection[int] | None], int | None] | None = None
    backtests: Backtests | None = None
    # "promote" or "archive", model_id, who, why, whether they insist -> the stage of each release that this moved.
    move_release: Callable[[str, str, str, str, bool], Mapping[str, str]] | None = None
