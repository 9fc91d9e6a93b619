"""Driftline's public face; its parts are imported when they are first named."""

from importlib import import_module
from typing import Any

# What is offered, and where it is: a module, or module:name.
_PLACES = {
    "backtest": "driftline.backtesting:backtest",
    "check": "driftline.checking:check",
    "feeds": "driftline.feeds",
}

__all__ = ["backtest", "check", "feeds"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, part = _PLACES[name].partition(":")
    return getattr(import_module(module), part) if part else import_module(module)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
