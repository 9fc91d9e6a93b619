"""How loops are compiled and kept, and the numerics that they share."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np

__all__ = ["compiled", "cube_root", "inlined", "ln"]

_F = TypeVar("_F", bound=Callable[..., Any])

_QUARTER_ROOT_TWO_BITS = np.int32(0x3F3504F3)
_THIRD = np.float32(1 / 3)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)


def _kept() -> bool:
    """Choose where compiled loops are kept: by the sources of all of them, for they call each other.

    By itself numba looks at the caller's file alone, and would go on using the old form of what it calls.
    """
    sources = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))))
    kept = Path("~/.cache").expanduser() / "driftline" / f"loops-{sources.hexdigest()[:16]}"
    try:
        kept.mkdir(parents=True, exist_ok=True)
    except OSError:
        # A read-only home: each process compiles for itself.
        return False
    numba.config.CACHE_DIR = str(kept)  # type: ignore[attr-defined]
    return True


_KEPT = _kept()


def compiled(function: _F) -> _F:
    """Compile a loop over rows; NaN and infinity behave as in NumPy, and other threads go on meanwhile."""
    made: Any = numba.njit(cache=_KEPT, nogil=True, error_model="numpy", fastmath={"contract"})(function)
    return cast("_F", made)


def inlined(function: _F) -> _F:
    """Compile a formula into the loops that use it."""
    made: Any = numba.njit(error_model="numpy", fastmath={"contract"}, inline="always")(function)
    return cast("_F", made)


@inlined
def ln(x: Any) -> Any:
    """Natural logarithm of a positive, normal float32, to 2 ulp; straight-line code, so that loops vectorise.

    The polynomial is that of Cephes' logf.
    """
    bits = np.int32(np.float32(x).view(np.int32) - _QUARTER_ROOT_TWO_BITS)
    exponent = np.float32(bits >> np.int32(23))
    mantissa = np.int32((bits & np.int32(0x7FFFFF)) + _QUARTER_ROOT_TWO_BITS).view(np.float32)
    r = mantissa - np.float32(1.0)
    z = r * r
    p = np.float32(7.0376836292e-2)
    p = p * r + np.float32(-1.1514610310e-1)
    p = p * r + np.float32(1.1676998740e-1)
    p = p * r + np.float32(-1.2420140846e-1)
    p = p * r + np.float32(1.4249322787e-1)
    p = p * r + np.float32(-1.6668057665e-1)
    p = p * r + np.float32(2.0000714765e-1)
    p = p * r + np.float32(-2.4999993993e-1)
    p = p * r + np.float32(3.3333331174e-1)
    y = p * r * z + _LN2_LOW * exponent - np.float32(0.5) * z
    return r + y + _LN2_HIGH * exponent


@inlined
def cube_root(x: Any) -> Any:
    """Cube root of a float32 that is 0 or more, to a few ulp, by two of Halley's steps."""
    x = np.float32(x)
    root = np.int32(np.int32(np.float32(x.view(np.int32)) * _THIRD) + np.int32(709921077)).view(np.float32)
    cube = root * root * root
    root = root * ((cube + x + x) / (cube + cube + x))
    cube = root * root * root
    root = root * ((cube + x + x) / (cube + cube + x))
    return root if x > np.float32(0.0) else np.float32(0.0)
