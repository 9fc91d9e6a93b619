"""What a backtest refuses, in words that name what was found and what was wanted."""

from schemas.errors import DriftlineError

__all__ = ["BacktestError", "HistoryError", "NothingThereError"]


class BacktestError(DriftlineError):
    """A backtest that cannot be made as asked."""


class HistoryError(BacktestError):
    """A file or folder that holds no history."""


class NothingThereError(BacktestError):
    """No record in the time that was asked for."""
