"""What a study found, told: a page, tables, plain values, Parquet."""

from streams.backtest.report.page import page
from streams.backtest.report.plain import plain, write_parquet
from streams.backtest.report.tables import best_first, differing, evaluated, firings

__all__ = ["best_first", "differing", "evaluated", "firings", "page", "plain", "write_parquet"]
