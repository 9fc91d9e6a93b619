"""Histories: a live cluster, an exported file, or an archive folder, all read alike."""

from streams.backtest.history.base import Extent, History, Share, StatsBatch, records_of, state_of
from streams.backtest.history.cluster import ClusterHistory
from streams.backtest.history.entry import Entry
from streams.backtest.history.files import FileHistory

__all__ = [
    "ClusterHistory",
    "Entry",
    "Extent",
    "FileHistory",
    "History",
    "Share",
    "StatsBatch",
    "records_of",
    "state_of",
]
