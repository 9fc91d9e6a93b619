"""The lock: every file that the stack downloads, pinned by SHA-256 and size."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

__all__ = ["Coordinate", "Lock", "PinnedFile", "read_lock", "write_lock"]

LOCK_FILE = Path(__file__).with_name("lock.json")


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A Maven artifact, written `group:artifact:version[:classifier:packaging]`.

    >>> Coordinate.parse("org.slf4j:slf4j-api:1.7.36").path
    PurePosixPath('org/slf4j/slf4j-api/1.7.36/slf4j-api-1.7.36.jar')
    """

    group: str
    artifact: str
    version: str
    classifier: str = ""
    packaging: str = "jar"

    @classmethod
    def parse(cls, text: str) -> "Coordinate":
        parts = text.split(":")
        if len(parts) not in (3, 5) or not all(parts):
            raise ValueError(f"{text!r} is not group:artifact:version[:classifier:packaging]")
        return cls(*parts)

    def __str__(self) -> str:
        full = f"{self.group}:{self.artifact}:{self.version}"
        return f"{full}:{self.classifier}:{self.packaging}" if self.classifier else full

    @property
    def path(self) -> PurePosixPath:
        """Where the artifact lies below the root of a Maven repository, and below our cache."""
        classifier = f"-{self.classifier}" if self.classifier else ""
        name = f"{self.artifact}-{self.version}{classifier}.{self.packaging}"
        return PurePosixPath(*self.group.split("."), self.artifact, self.version, name)


@dataclass(frozen=True, slots=True)
class PinnedFile:
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Lock:
    """What a start needs, and what each file must be.

    The registry comes as one archive; `registry_files` pins what is in it, so that what is run is
    verified as well as what was downloaded.
    """

    kafka: Mapping[Coordinate, PinnedFile]
    registry: Coordinate
    registry_archive: PinnedFile
    registry_files: Mapping[PurePosixPath, PinnedFile]


def read_lock(path: Path = LOCK_FILE) -> Lock:
    text = json.loads(path.read_text(encoding="utf-8"))
    ((registry, archive),) = text["registry"].items()
    return Lock(
        kafka={Coordinate.parse(name): PinnedFile(**pin) for name, pin in text["kafka"].items()},
        registry=Coordinate.parse(registry),
        registry_archive=PinnedFile(**archive),
        registry_files={PurePosixPath(name): PinnedFile(**pin) for name, pin in text["registry-files"].items()},
    )


def write_lock(lock: Lock, path: Path = LOCK_FILE) -> None:
    """Write `lock` with one pin a line, so that a renewal reads well in a diff."""
    sections = {
        "kafka": {str(name): pin for name, pin in lock.kafka.items()},
        "registry": {str(lock.registry): lock.registry_archive},
        "registry-files": {str(name): pin for name, pin in lock.registry_files.items()},
    }
    body = ",\n".join(f"  {json.dumps(title)}: {{\n{_lines(pins)}\n  }}" for title, pins in sections.items())
    path.write_text(f"{{\n{body}\n}}\n", encoding="utf-8")


def _lines(pins: Mapping[str, PinnedFile]) -> str:
    return ",\n".join(
        f'    {json.dumps(name)}: {{"sha256": "{pin.sha256}", "size": {pin.size}}}'
        for name, pin in sorted(pins.items())
    )
