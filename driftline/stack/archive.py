"""Unpacking the registry's archive."""

import shutil
import tarfile
from pathlib import Path

from driftline.stack.errors import StackError

__all__ = ["extract"]


def extract(archive: Path, target: Path) -> None:
    """Unpack the files of `archive` into `target`; one that would land outside it is refused.

    The standard filter that refuses such members is missing from the first releases of Python 3.11.
    """
    target.mkdir(parents=True)
    inside = target.resolve()
    with tarfile.open(archive, "r:gz") as members:
        for member in members:
            place = (target / member.name).resolve()
            content = members.extractfile(member) if member.isfile() else None
            if not place.is_relative_to(inside) or (content is None and not member.isdir()):
                raise StackError(f"{archive.name} holds {member.name!r}; wanted: files and folders inside of it")
            if content is None:
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            with content, place.open("wb") as file:
                shutil.copyfileobj(content, file)
