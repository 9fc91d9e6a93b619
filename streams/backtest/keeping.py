"""Results of finished parts of a backtest, kept so that an interrupted one goes on where it stopped."""

import gzip
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from schemas.catalogue import topic_named
from schemas.record import as_plain
from streams.backtest.history import Entry
from streams.backtest.history.avro_file import container, entries_in
from streams.backtest.history.entry import made
from streams.backtest.logbook import DeviceNotes, Logbook, Noted
from streams.backtest.replay import Counts, Replayed, Task
from streams.backtest.stories import Firing, Stories, Story
from streams.drift.presence import Tally

__all__ = ["Kept"]

_ALERTS = topic_named("drift.alerts")
_EDITION = "1"
_LONGEST_S = 7 * 86_400


class Kept:
    """A folder of results, each under a name that says what was asked; without a folder nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def tidy(self, now_s: float) -> None:
        """Remove what nobody came back for within a week."""
        if self._folder is None or not self._folder.exists():
            return
        for path in self._folder.iterdir():
            if now_s - path.stat().st_mtime > _LONGEST_S:
                path.unlink(missing_ok=True)

    def find(self, task: Task) -> Replayed | None:
        path = self._path(task)
        if path is None or not path.exists():
            return None
        try:
            return _read(json.loads(gzip.decompress(path.read_bytes())), path.with_suffix(".avro"))
        except (OSError, EOFError, ValueError, KeyError, TypeError):
            # Whatever is wrong with it, the replay gives it again.
            return None

    def keep(self, task: Task, found: Replayed) -> None:
        path = self._path(task)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        alerts = [Entry(0, i, 0, b"", as_plain(alert)) for i, alert in enumerate(found.as_then)]
        path.with_suffix(".avro").write_bytes(container(_ALERTS, alerts))
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(gzip.compress(json.dumps(_plain(found)).encode(), 1))
        unfinished.replace(path)

    def forget(self, task: Task) -> None:
        path = self._path(task)
        if path is not None:
            path.unlink(missing_ok=True)
            path.with_suffix(".avro").unlink(missing_ok=True)

    def _path(self, task: Task) -> Path | None:
        return None if self._folder is None else self._folder / f"{_name(task)}.json.gz"


def _name(task: Task) -> str:
    asked = {
        "edition": _EDITION,
        "history": task.history.name,
        "shares": [[asdict(share) for share in shares] for shares in (task.shares, task.warm_up, *task.health)],
        "span": asdict(task.span),
        "policies": [(one.name, one.document) for one in task.candidates],
        "health": [(one.name, one.document) for one in task.health_candidates],
        "known": [sorted(task.grids), sorted(task.baselines)],
        "labels": sorted((device, sorted(labels.items())) for device, labels in task.labels.items()),
        "then": None
        if task.timelines is None
        else sorted((number, str(line)) for number, line in task.timelines.items()),
        "left_out": sorted((number, sorted(offsets)) for number, offsets in task.left_out.items()),
        "injections": [asdict(one) for one in task.injections],
        "steps": [task.step_ms, task.split_ms],
    }
    return hashlib.sha256(json.dumps(asked, default=str, sort_keys=True).encode()).hexdigest()[:32]


def _plain(found: Replayed) -> dict[str, Any]:
    return {
        "stories": {
            name: [asdict(story) for story in stories.by_id.values()] for name, stories in found.stories.items()
        },
        "devices": {name: asdict(notes) for name, notes in found.logbook.devices.items()},
        "scores": [(one.device_id, one.at_ms, one.feature, one.psi, one.ks) for one in found.logbook.scores],
        "counts": asdict(found.counts),
        "troubles": found.troubles,
    }


def _read(plain: dict[str, Any], alerts: Path) -> Replayed:
    logbook = Logbook(
        devices={name: DeviceNotes(**notes) for name, notes in plain["devices"].items()},
        scores=[Noted(*one) for one in plain["scores"]],
    )
    counts = Counts(**{**plain["counts"], "tally": Tally(**plain["counts"]["tally"])})
    as_then = [made(_ALERTS, entry) for entry in entries_in(alerts.read_bytes(), _ALERTS.name)]
    stories = {name: _stories(told) for name, told in plain["stories"].items()}
    return Replayed(stories, logbook, counts, as_then, plain["troubles"])


def _stories(told: list[dict[str, Any]]) -> Stories:
    stories = Stories()
    for one in told:
        story = Story(**{**one, "firings": [Firing(**firing) for firing in one["firings"]]})
        stories.by_id[story.alert_id] = story
    return stories
