"""Candidates: the policies that a backtest tries, by name."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streams.backtest.errors import BacktestError
from streams.drift.policy import PolicyError, Rules, read_policy

__all__ = ["Candidate", "default_candidate", "read_candidates"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One policy under trial; the document is what a policy file would hold."""

    name: str
    document: str = ""
    rules: Rules = field(default_factory=Rules)


def default_candidate() -> Candidate:
    """Return the policy that counts where nobody chose another."""
    return Candidate("default")


def read_candidates(paths: Sequence[Path]) -> list[Candidate]:
    """Read policy files, each a candidate under its file's name."""
    found = [_read(path) for path in paths]
    _refuse_twins(one.name for one in found)
    return found


def _read(path: Path) -> Candidate:
    try:
        document = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BacktestError(f"{path}: found {error}, wanted a policy, TOML") from None
    try:
        return Candidate(path.stem, document, read_policy(document))
    except PolicyError as refused:
        raise BacktestError(f"{path}: {refused}", hint=refused.hint) from None


def _refuse_twins(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BacktestError(f"policy {name!r}: found twice, wanted a name of its own for each file")
        seen.add(name)
