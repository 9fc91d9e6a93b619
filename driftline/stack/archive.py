"""Unpacking the registry's archive."""

import tarfile
from pathlib import Path

__all__ = ["extract"]


def extract(archive: Path, target: Path) -> None:
    """Unpack `archive` into `target`; a member that would land outside it is refused."""
    target.mkdir(parents=True)
    with tarfile.open(archive, "r:gz") as members:
        members.extractall(target, filter="data")
