"""Parquet files, where pyarrow is at hand: it is too large for most devices."""

from pathlib import Path
from typing import Any

from sensing.errors import SensingError

__all__ = ["open_parquet"]


def open_parquet(path: Path) -> Any:
    """Return the file as `pyarrow.parquet.ParquetFile`; `SensingError` where it is none, or nothing can read it."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise SensingError(f"{path}: reading Parquet needs pyarrow", hint="pip install 'driftline[parquet]'") from None
    try:
        return parquet.ParquetFile(path)
    except (ArrowException, OSError) as error:
        raise SensingError(f"{path} is no Parquet file: {error}") from error
