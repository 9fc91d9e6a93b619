"""The engine's inner loops, compiled: each row by itself, in order, so that no result depends on its batch."""

from streams.drift.kernels.fold import Arrived, Became, Devices, Panes, add_panes, add_up, fold, sum_panes, transposed
from streams.drift.kernels.gathering import OpenLooks, RollupArrays, gather_looks, roll_up
from streams.drift.kernels.layout import References, Totals, stacked
from streams.drift.kernels.reading import Columns, Found, Packed, find_fields, lay_in_columns
from streams.drift.kernels.score import look_closely, score_totals
from streams.drift.kernels.weigh import Bars, Parts, Remembered, Verdicts, weigh, weigh_alone

__all__ = [
    "Arrived", "Bars", "Became", "Columns", "Devices", "Found", "OpenLooks", "Packed", "Panes", "Parts", "References",
    "Remembered", "RollupArrays", "Totals", "Verdicts", "add_panes", "add_up", "find_fields", "fold", "gather_looks",
    "lay_in_columns", "look_closely", "roll_up", "score_totals", "stacked", "sum_panes", "transposed", "weigh",
    "weigh_alone",
]  # fmt: skip
