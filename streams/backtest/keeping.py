"""Parts of a backtest, finished or under way, kept so that an interrupted one goes on where it stopped."""

import gzip
import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from schemas.catalogue import topic_named
from schemas.record import as_plain
from streams.backtest.counts import Counts
from streams.backtest.history import Entry
from streams.backtest.history.avro_file import container, entries_in
from streams.backtest.history.entry import made
from streams.backtest.logbook import DeviceNotes, Logbook, Noted
from streams.backtest.midway import Midway, edition
from streams.backtest.replay import Replayed
from streams.backtest.share_files import is_whole
from streams.backtest.stories import Firing, Stories, Story
from streams.backtest.task import Task
from streams.drift.presence import Tally
from trust.files import write_whole

__all__ = ["Kept"]

_ALERTS = topic_named("drift.alerts")
_LONGEST_S = 7 * 86_400


class Kept:
    """A folder of results, each under a name that says what was asked; without a folder nothing is kept.

    What is needed only until the end of a run is in a folder of its own then, `passing`.
    """

    def __init__(self, folder: Path | None, passing: Path, *, every_s: float = 15.0) -> None:
        self._folder, self._passing, self._every_s = folder, passing, every_s

    def shares(self, task: Task) -> Path:
        """Return the folder for what the replay of a task tells of cohorts."""
        return (self._folder or self._passing) / f"{_name(task)}.shares"

    def midway(self, task: Task) -> Midway:
        """Return where a replay of a task is kept while it is under way, at most every so many seconds."""
        path = self._path(task)
        shared = {"grids": task.grids, "baselines": task.baselines}
        return Midway(None if path is None else path.with_suffix(".midway"), every_s=self._every_s, shared=shared)

    def tidy(self, now_s: float) -> None:
        """Remove what nobody came back for within a week."""
        if self._folder is None or not self._folder.exists():
            return
        for path in self._folder.iterdir():
            if now_s - path.stat().st_mtime > _LONGEST_S:
                _remove(path)

    def find(self, task: Task) -> Replayed | None:
        path = self._path(task)
        if path is None or not path.exists():
            return None
        try:
            found = _read(json.loads(gzip.decompress(path.read_bytes())), path.with_suffix(".avro"))
            return found if is_whole(self.shares(task), found.shares) else None
        except (OSError, EOFError, ValueError, KeyError, TypeError):
            # Whatever is wrong with it, the replay gives it again.
            return None

    def keep(self, task: Task, found: Replayed) -> None:
        path = self._path(task)
        if path is None:
            return
        alerts = [Entry(0, i, 0, b"", as_plain(alert)) for i, alert in enumerate(found.as_then)]
        write_whole(path.with_suffix(".avro"), container(_ALERTS, alerts))
        write_whole(path, gzip.compress(json.dumps(_plain(found)).encode(), 1))
        path.with_suffix(".midway").unlink(missing_ok=True)

    def forget(self, task: Task) -> None:
        path = self._path(task)
        if path is not None:
            path.unlink(missing_ok=True)
            path.with_suffix(".avro").unlink(missing_ok=True)
            path.with_suffix(".midway").unlink(missing_ok=True)
        _remove(self.shares(task))

    def _path(self, task: Task) -> Path | None:
        return None if self._folder is None else self._folder / f"{_name(task)}.json.gz"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _name(task: Task) -> str:
    asked = {
        "edition": edition(),
        "history": task.history.name,
        "shares": [[asdict(share) for share in shares] for shares in (task.shares, task.warm_up, *task.health)],
        "span": asdict(task.span),
        "policies": [(one.name, one.document) for one in task.candidates],
        "health": [(one.name, one.document) for one in task.health_candidates],
        "known": [sorted(task.grids), sorted(task.baselines)],
        "cohorts": [one.name for one in task.cohort_candidates],
        "labels": [
            sorted((device, sorted(labels.items())) for device, labels in known.items())
            for known in (task.labels, task.all_labels)
        ],
        "then": str(task.then),
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
        "shares": dict(found.shares),
    }


def _read(plain: dict[str, Any], alerts: Path) -> Replayed:
    logbook = Logbook(
        devices={name: DeviceNotes(**notes) for name, notes in plain["devices"].items()},
        scores=[Noted(*one) for one in plain["scores"]],
    )
    counts = Counts(**{**plain["counts"], "tally": Tally(**plain["counts"]["tally"])})
    as_then = [made(_ALERTS, entry) for entry in entries_in(alerts.read_bytes(), _ALERTS.name)]
    stories = {name: _stories(told) for name, told in plain["stories"].items()}
    return Replayed(stories, logbook, counts, as_then, plain["troubles"], plain["shares"])


def _stories(told: list[dict[str, Any]]) -> Stories:
    stories = Stories()
    for one in told:
        story = Story(**{**one, "firings": [Firing(**firing) for firing in one["firings"]]})
        stories.by_id[story.alert_id] = story
    return stories
