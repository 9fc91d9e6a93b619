"""Kept state in parts: arrays under dotted names, which storage writes without pickling."""

from sensing.pipelines.base import Arrays

__all__ = ["join", "part"]


def join(**parts: Arrays) -> Arrays:
    """Put the arrays of several parts under one roof.

    >>> import numpy as np
    >>> sorted(join(sums={"head": np.zeros(1)}, lags={"past": np.zeros(1)}))
    ['lags.past', 'sums.head']
    """
    return {f"{name}.{key}": array for name, arrays in parts.items() for key, array in arrays.items()}


def part(state: Arrays, name: str) -> Arrays:
    """Return what `join` was given as `name`."""
    return {key.removeprefix(f"{name}."): array for key, array in state.items() if key.startswith(f"{name}.")}
