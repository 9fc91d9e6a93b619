"""The cache of downloads, shared by all projects of a user.

It keeps three rules:

* what a start runs was verified by that start: hashing everything takes a fifth of a second;
* a file appears under its name only whole and verified;
* one process downloads at a time; others wait for it and use what it brought.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from driftline.stack.archive import extract
from driftline.stack.download import Repositories, download
from driftline.stack.errors import ChecksumError
from driftline.stack.exclusive import exclusive
from driftline.stack.lock import Coordinate, Lock, PinnedFile
from driftline.stack.progress import Progress

__all__ = ["Software", "provide"]


@dataclass(frozen=True, slots=True)
class Software:
    """Verified files, ready to run."""

    kafka: tuple[Path, ...]
    registry: Path


def provide(lock: Lock, cache: Path, *, repositories: Repositories = None) -> Software:
    """Return what `lock` names, from `cache` where it is there, downloaded where it is not."""
    kafka = {_jar(coordinate, cache): pin for coordinate, pin in lock.kafka.items()}
    # Named after the archive's sum, so that a renewed lock never finds an older registry's files.
    registry = cache / "registry" / lock.registry_archive.sha256[:16]
    if not _whole(kafka, registry):
        cache.mkdir(parents=True, exist_ok=True)
        with exclusive(cache / "download.lock", "another process is downloading; waiting for it"):
            _fetch_missing(lock, cache, kafka, registry, repositories)

    files = {registry / name: pin for name, pin in lock.registry_files.items()}
    _verify({**kafka, **files}, remedy=cache)
    return Software(kafka=tuple(kafka), registry=registry)


def _jar(coordinate: Coordinate, cache: Path) -> Path:
    return cache / "maven" / coordinate.path


def _whole(kafka: Iterable[Path], registry: Path) -> bool:
    return registry.is_dir() and all(path.is_file() for path in kafka)


def _fetch_missing(
    lock: Lock, cache: Path, kafka: Mapping[Path, PinnedFile], registry: Path, repositories: Repositories
) -> None:
    missing = {c: pin for c, pin in lock.kafka.items() if not _jar(c, cache).is_file()}
    if not registry.is_dir():
        missing[lock.registry] = lock.registry_archive
    if not missing:
        return

    # Whoever was interrupted here before us is gone: we hold the lock.
    for abandoned in cache.glob("arriving-*"):
        shutil.rmtree(abandoned)
    with tempfile.TemporaryDirectory(dir=cache, prefix="arriving-") as folder:
        arriving = Path(folder)
        progress = Progress(total_bytes=sum(pin.size for pin in missing.values()))
        download(missing, arriving, repositories=repositories, progress=progress)
        _verify({arriving / c.path: pin for c, pin in missing.items()}, remedy=None)
        for coordinate in missing:
            if coordinate != lock.registry:
                _move(arriving / coordinate.path, _jar(coordinate, cache))
        if lock.registry in missing:
            extract(arriving / lock.registry.path, arriving / "registry")
            _move(arriving / "registry", registry)


def _move(arrived: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    arrived.rename(place)


def _verify(files: Mapping[Path, PinnedFile], *, remedy: Path | None) -> None:
    # hashlib lets go of the interpreter while it works, so threads do help.
    with ThreadPoolExecutor() as pool:
        sums = pool.map(_sha256, files)
        for (path, pin), found in zip(files.items(), sums, strict=True):
            if found != pin.sha256:
                raise ChecksumError(path, locked=pin.sha256, found=found, hint=_remedy(path, remedy))


def _remedy(path: Path, cache: Path | None) -> str:
    if cache is None:
        return (
            "what was downloaded has been removed; a proxy may have changed it, or the repository serves another file"
        )
    return f"remove {_refetched_together(path, cache)} to have it downloaded again"


def _refetched_together(path: Path, cache: Path) -> Path:
    """The registry is fetched as a whole, a jar of Kafka's by itself."""
    inside = path.relative_to(cache).parts
    return cache / inside[0] / inside[1] if inside[0] == "registry" else path


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return "missing"
