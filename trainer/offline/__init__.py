"""What topics keep for weeks, kept for good: vectors, labels and statistics as partitioned Parquet."""

from trainer.offline.service import run_sink
from trainer.offline.sink import Flushing, TopicSink
from trainer.offline.store import OfflineStore

__all__ = ["Flushing", "OfflineStore", "TopicSink", "run_sink"]
