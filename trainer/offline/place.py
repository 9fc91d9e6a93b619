"""How far the files of one topic go: kept with them, so that files and place cannot part."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schemas.feeds import Position, PositionError
from trainer.errors import DatasetError
from trainer.offline.files import Stretch
from trainer.offline.kinds import Kind
from trust import write_whole

__all__ = ["Place", "place_of", "write_place"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the topic is read on; what files hold beyond it was being written when somebody was killed.

    Without a position, at the topic's beginning.
    """

    # A topic that was made anew, or cut, begins another life of it.
    life: int = 0
    position: Position | None = None
    # Since the store was begun: records kept, records that nobody can read, offsets that were gone unread.
    counts: Mapping[str, int] = field(default_factory=lambda: {"stored": 0, "bad": 0, "skipped": 0})

    @property
    def next_offsets(self) -> dict[int, int]:
        reached = {} if self.position is None else self.position.partitions
        return {partition: at.next_offset for partition, at in reached.items()}


def place_of(folder: Path, kind: Kind) -> Place:
    """Read the place; a store that lost it begins a new life beside the files that it has."""
    path = _path(folder, kind)
    try:
        plain = json.loads(path.read_bytes())
        position = None if plain["position"] is None else Position.from_json(json.dumps(plain["position"]))
        return Place(int(plain["life"]), position, dict(plain["counts"]))
    except FileNotFoundError:
        files = (folder / kind.folder).glob("day=*/*.parquet")
        return Place(max((stretch.life + 1 for path in files if (stretch := Stretch.named(path))), default=0))
    except (PositionError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path} is damaged: {error}", hint="remove it: the topic is then read again from its beginning"
        ) from error


def write_place(folder: Path, kind: Kind, place: Place) -> None:
    position = None if place.position is None else json.loads(place.position.to_json())
    content = json.dumps({"life": place.life, "position": position, "counts": dict(place.counts)}, indent=1)
    path = _path(folder, kind)
    try:
        write_whole(path, content.encode())
    except OSError as error:
        raise DatasetError(
            f"{path} was not written: {error.strerror}; the files since then do not count, and are written again",
            hint="make room on the disk, and start the sink again",
        ) from error


def _path(folder: Path, kind: Kind) -> Path:
    return folder / "positions" / f"{kind.topic}.json"
