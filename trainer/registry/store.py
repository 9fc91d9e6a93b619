"""Where bundles lie: a folder, or anything that fsspec opens. A bundle's name is its digest, so it never changes."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import fsspec

from trainer.errors import RegistryError
from trust import write_whole

__all__ = ["FolderStore", "ObjectStore", "Store", "bundle_name", "open_store"]

_NAME = re.compile(r"bundles/[0-9a-f]{64}\.bundle|keyrings/[0-9]{1,9}\.json|reports/[\w.-]+/[\w.-]+\.html").fullmatch


class Store(Protocol):
    """Whole files by name; a name is there with all of its content, or not there."""

    def put(self, name: str, content: bytes) -> None: ...

    def get(self, name: str) -> bytes: ...

    def sizes(self, folder: str) -> Mapping[str, int]:
        """Return the files of a folder with their sizes."""
        ...

    def modified_ms(self, name: str) -> int: ...

    def delete(self, name: str) -> None: ...


def open_store(url: str) -> Store:
    """Open a folder (a path or `file://…`), or what `s3://…`, `gs://…`, `memory://…` names, with fsspec's driver."""
    # Not by fsspec: a file that it writes has its name before it has its content.
    folder = url.removeprefix("file://").removeprefix("local://")
    return ObjectStore(url) if "://" in folder else FolderStore(Path(folder))


def bundle_name(sha256: str) -> str:
    return f"bundles/{sha256}.bundle"


class FolderStore:
    """Files in a folder, each written whole before it gets its name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, name: str, content: bytes) -> None:
        _check(name, content)
        try:
            write_whole(self.folder / name, content)
        except OSError as error:
            raise RegistryError(
                f"{self.folder / name}: {error.strerror or error}; nothing of it was kept",
                hint="make room, or choose another store",
            ) from error

    def get(self, name: str) -> bytes:
        _check(name)
        with _reading(name, str(self.folder)):
            return (self.folder / name).read_bytes()

    def sizes(self, folder: str) -> Mapping[str, int]:
        found = sorted(path for path in (self.folder / folder).glob("**/*") if path.is_file())
        names = {path.relative_to(self.folder).as_posix(): path.stat().st_size for path in found}
        return {name: size for name, size in names.items() if _NAME(name)}

    def modified_ms(self, name: str) -> int:
        _check(name)
        return int((self.folder / name).stat().st_mtime * 1000)

    def delete(self, name: str) -> None:
        _check(name)
        (self.folder / name).unlink(missing_ok=True)


class ObjectStore:
    """Objects behind fsspec; object stores show an object only when it is complete."""

    def __init__(self, url: str) -> None:
        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise RegistryError(
                f"the store {url} cannot be opened: {error}", hint="fsspec needs a driver for it"
            ) from error

    def put(self, name: str, content: bytes) -> None:
        _check(name, content)
        try:
            self._files.makedirs(self._at(name).rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(self._at(name), content)
        except OSError as error:
            raise RegistryError(f"{self._at(name)} was not stored: {error}", hint="see what the store says") from error

    def get(self, name: str) -> bytes:
        _check(name)
        with _reading(name, self._root):
            return bytes(self._files.cat_file(self._at(name)))

    def sizes(self, folder: str) -> Mapping[str, int]:
        try:
            found: Mapping[str, Any] = self._files.find(self._at(folder), detail=True)
        except FileNotFoundError:
            return {}
        start = len(self._root.rstrip("/")) + 1
        names = {path[start:]: int(facts["size"]) for path, facts in sorted(found.items())}
        return {name: size for name, size in names.items() if _NAME(name)}

    def modified_ms(self, name: str) -> int:
        _check(name)
        return int(self._files.modified(self._at(name)).timestamp() * 1000)

    def delete(self, name: str) -> None:
        _check(name)
        if self._files.exists(self._at(name)):
            self._files.rm_file(self._at(name))

    def _at(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"


@contextmanager
def _reading(name: str, place: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise RegistryError(f"{name} is not in the store at {place}") from None
    except OSError as error:
        raise RegistryError(f"{name} in the store at {place} cannot be read: {error}") from error


def _check(name: str, content: bytes | None = None) -> None:
    if not _NAME(name):
        raise RegistryError(f"{name!r} is no name of a store; wanted a bundle, a keyring or a report")
    if content is None or not name.startswith("bundles/"):
        return
    if name != bundle_name(hashlib.sha256(content).hexdigest()):
        raise RegistryError(f"{name} does not have the digest that it is named after")
