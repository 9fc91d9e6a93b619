"""Renew the lock: `python -m driftline.stack.renew_lock`.

Resolves the versions below, downloads every artifact into a folder of its own and pins what arrived.
Read the diff before committing: these sums are what every later start trusts.
"""

import hashlib
import sys
import tempfile
from pathlib import Path, PurePosixPath

from driftline.stack.archive import extract
from driftline.stack.download import download
from driftline.stack.lock import LOCK_FILE, Coordinate, Lock, PinnedFile, write_lock
from driftline.stack.progress import Progress

__all__ = ["renew"]

KAFKA = Coordinate("org.apache.kafka", "kafka_2.13", "4.3.1")
# Kafka logs through SLF4J 1.7 and brings no binding; without one a crash has no words.
LOGGING = Coordinate("org.slf4j", "slf4j-simple", "1.7.36")
REGISTRY = Coordinate("io.apicurio", "apicurio-registry-app", "3.3.3", "all", "tar.gz")


def renew(scratch: Path) -> Lock:
    coordinates = [*_with_dependencies(KAFKA, scratch / "poms"), LOGGING, REGISTRY]
    download(coordinates, scratch / "files", repositories=None, progress=Progress(total_bytes=None))
    pins = {coordinate: _pin(scratch / "files" / coordinate.path) for coordinate in coordinates}

    archive = pins.pop(REGISTRY)
    extract(scratch / "files" / REGISTRY.path, scratch / "registry")
    files = sorted(path for path in (scratch / "registry").rglob("*") if path.is_file())
    return Lock(
        kafka=pins,
        registry=REGISTRY,
        registry_archive=archive,
        registry_files={PurePosixPath(path.relative_to(scratch / "registry")): _pin(path) for path in files},
    )


def _with_dependencies(root: Coordinate, repo_cache: Path) -> list[Coordinate]:
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=repo_cache, timeout=30)
    inputs, transitive = context.resolver.resolve([context.create_dependency(str(root))])
    return [Coordinate(d.groupId, d.artifactId, d.version, d.classifier or "", d.type) for d in [*inputs, *transitive]]


def _pin(path: Path) -> PinnedFile:
    with path.open("rb") as stream:
        return PinnedFile(hashlib.file_digest(stream, "sha256").hexdigest(), path.stat().st_size)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="driftline-lock-") as scratch:
        lock = renew(Path(scratch))
    write_lock(lock)
    print(f"pinned {len(lock.kafka) + 1} artifacts in {LOCK_FILE}", file=sys.stderr)
