"""Driftline's public face; its parts are imported when they are first named."""

from importlib import import_module
from types import ModuleType

__all__ = ["feeds"]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return import_module(f"driftline.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
