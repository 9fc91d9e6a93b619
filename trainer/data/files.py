"""Training data from a file: readings or vectors, CSV or Parquet.

Columns: a time (`at_ms`, or another usual name; see `sensing.moments`), `device_id` (one device without it), and either
every feature of the pipeline, or every channel, from which the vectors are then computed as a gateway would; `label`
where known (0 or 1; for a forecast the truth). Names may have units behind them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from sensing import Pipeline, ReadingError, pipeline_named, remembers, run_batch
from sensing.delimited import NOTHING, dialect_of
from sensing.moments import TIMES, moments_ms, time_columns
from sensing.sources.columns import known_names
from trainer.data.dataset import Dataset, Part
from trainer.errors import DatasetError

__all__ = ["from_file", "read_table"]


def from_file(path: Path, pipeline: str, *, time_format: str = "") -> Dataset:
    """Read a file of this pipeline's readings or vectors; `time_format` is as for `strptime`."""
    declared = pipeline_named(pipeline)
    table = read_table(path)
    known = (*declared.channel_names, *declared.feature_names, *TIMES, "device_id", "label")
    table = table.rename_columns(known_names(table.column_names, known))
    names = set(table.column_names)
    of_time = time_columns(names)
    if not of_time:
        raise DatasetError(
            f"{path} has the columns {', '.join(table.column_names)}; wanted one of times: {', '.join(TIMES)}",
            hint="rename the column that holds the time",
        )
    if names.issuperset(declared.feature_names):
        columns = declared.feature_names
    elif names.issuperset(declared.channel_names):
        columns = declared.channel_names
    else:
        missing = ", ".join(sorted(set(declared.channel_names) - names))
        raise DatasetError(f"{path} lacks {missing}; {pipeline} wants all its channels or all its features")
    at_ms = _times(table, of_time, time_format, path)
    values = np.stack([_column(table, name, path) for name in columns], axis=1)
    label = _column(table, "label", path) if "label" in names else None
    device = _devices(table, path) if "device_id" in names else np.array(["device"] * len(at_ms))
    vectors = columns == declared.feature_names
    parts = [
        _part(declared, str(name), at_ms[rows], values[rows], None if label is None else label[rows], vectors=vectors)
        for name in np.unique(device)
        for rows in [np.flatnonzero(device == name)]
    ]
    return Dataset.of(pipeline, parts)


def read_table(path: Path) -> pa.Table:
    """Read a CSV or Parquet file, chosen by its ending."""
    try:
        match path.suffix:
            case ".csv":
                return _csv(path)
            case ".parquet":
                return pyarrow.parquet.read_table(path)
    except (pa.ArrowException, OSError, LookupError) as error:
        raise DatasetError(f"{path} cannot be read, or is cut off: {error}") from error
    raise DatasetError(f"{path} ends in {path.suffix or 'nothing'}; known: .csv, .parquet")


def _csv(path: Path) -> pa.Table:
    dialect = dialect_of(path)
    return pyarrow.csv.read_csv(
        path,
        pyarrow.csv.ReadOptions(encoding=dialect.encoding.removesuffix("-sig")),
        pyarrow.csv.ParseOptions(delimiter=dialect.separator),
        pyarrow.csv.ConvertOptions(
            decimal_point="," if dialect.decimal_comma else ".",
            null_values=[*NOTHING, *(word.upper() for word in NOTHING), "NaN", "NaT", "None", "Null"],
        ),
    )


def _times(table: pa.Table, of_time: Sequence[str], time_format: str, path: Path) -> NDArray[np.int64]:
    try:
        small = 1 if of_time == ["at_ms"] else np.nan
        return moments_ms(*(table[name].to_numpy() for name in of_time), written=time_format, small=small)
    except ReadingError as error:
        raise DatasetError(
            f"{path}: {' '.join(of_time)}: {error}", hint="say how times are written: --time-format '%d/%m/%Y %H:%M'"
        ) from None


def _devices(table: pa.Table, path: Path) -> NDArray[np.str_]:
    try:
        names = table["device_id"].cast(pa.string()).to_pylist()
    except pa.ArrowException as error:
        raise DatasetError(f"{path}: column device_id is {table['device_id'].type}; wanted names") from error
    if None in names:
        raise DatasetError(f"{path}: row {names.index(None) + 1}: device_id is empty; wanted a name in every row")
    return np.array(names)


def _column(table: pa.Table, name: str, path: Path) -> NDArray[np.float64]:
    column = table[name]
    if pa.types.is_string(column.type):
        wrong = next((text for text in column.to_pylist() if text and not _is_number(text)), "")
        raise DatasetError(f"{path}: column {name} holds {wrong!r}; wanted numbers")
    try:
        numbers: NDArray[np.float64] = column.cast(pa.float64()).to_numpy()
    except pa.ArrowException as error:
        raise DatasetError(f"{path}: column {name} is {column.type}; wanted numbers") from error
    return numbers


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _part(pipeline: Pipeline, device: str, at_ms: Any, values: Any, label: Any | None, *, vectors: bool) -> Part:
    order = np.argsort(at_ms, kind="stable")
    at_ms, values = at_ms[order], values[order]
    label = None if label is None else label[order]
    if vectors:
        return Part(device, at_ms, values, label)
    made = run_batch(pipeline, at_ms, values)
    if label is None:
        return Part(device, made.at_ms, made.matrix)
    newest = np.searchsorted(at_ms, made.at_ms, side="right") - 1
    back = pipeline.span if pipeline.hop > 1 else 1
    # A vector of a block of readings is as anomalous as the worst of them; NaN where none is known.
    spans = [label[max(last - back + 1, 0) : last + 1] for last in newest]
    worst = np.array([_worst(span) for span in spans])
    if not np.isin(label[np.isfinite(label)], (0, 1)).all():
        return Part(device, made.at_ms, made.matrix, worst)
    return Part(device, made.at_ms, made.matrix, worst, troubled=remembers(pipeline, at_ms, label == 1, made))


def _worst(labels: NDArray[np.float64]) -> float:
    known = labels[np.isfinite(labels)]
    return float(known.max()) if len(known) else float("nan")
