"""Releases: how far each may go, where its bundle lies, and how gateways get it."""

from trainer.registry.comparison import Comparison, compare
from trainer.registry.garbage import Garbage, find_garbage
from trainer.registry.stages import archive, next_version, promote, release_named
from trainer.registry.store import FolderStore, ObjectStore, Store, open_store

__all__ = [
    "Comparison",
    "FolderStore",
    "Garbage",
    "ObjectStore",
    "Store",
    "archive",
    "compare",
    "find_garbage",
    "next_version",
    "open_store",
    "promote",
    "release_named",
]
