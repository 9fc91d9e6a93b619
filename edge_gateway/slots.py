"""Two slots on disk: whatever is cut off at whatever moment, one whole model serves afterwards.

slots.json            the installation; replacing it by one atomic rename is what switches
slots/A.bundle        the bundle in slot A
slots/B.bundle
bundles/<sha256>.bundle, .part    fetched bundles, whole and in the making
"""

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_gateway.events import Event, Order
from edge_gateway.installation import Content, Installation, SafeModeReason, Said, decide
from edge_gateway.trusted import Trusted
from schemas.fleet import SlotState
from schemas.rollouts import AckPhase
from trust import Bundle, write_whole

__all__ = ["Slots"]

_log = logging.getLogger(__name__)

WriteWhole = Callable[[Path, bytes], None]


class Slots:
    """The installation of one gateway; `apply` is the only way to change it, and on return it is on disk.

    A disk that takes nothing stops no gateway: what happened then counts at once and `saved` is false. Until `save`
    has put it on disk, nothing may be built on it that outlives the process: no ack, no download, no slot.
    """

    def __init__(self, folder: Path, *, write: WriteWhole = write_whole) -> None:
        self.folder = folder
        self.store = folder / "bundles"
        self._state_file = folder / "slots.json"
        self._write = write
        self.damaged = ""
        # Nothing was installed here before, or nothing is known of it.
        self.fresh = False
        self.saved = True
        self.installation = self._read()

    def apply(self, event: Event) -> Installation:
        """Let an event happen; nothing is written when it changes nothing."""
        after = decide(self.installation, event)
        if after != self.installation:
            if after.active != self.installation.active:
                _log.info(
                    "slot activated: slot=%s model=%s after=%s", after.active or "-", after.model_id or "-", event
                )
            self.installation = after
            self._save()
        return after

    def save(self) -> bool:
        """Put on disk what is not there yet; False: the disk still takes nothing."""
        if not self.saved and self._save():
            _log.info("slots saved: file=%s; the disk takes files again", self._state_file)
        return self.saved

    def _save(self) -> bool:
        try:
            self._write(self._state_file, _encoded(self.installation))
        except OSError as error:
            if self.saved:
                _log.error(
                    "slots not saved: file=%s error=%s; the model goes on, acks and updates wait; make room",
                    self._state_file,
                    error.strerror or error,
                )
            self.saved = False
        else:
            self.saved = True
        return self.saved

    def path(self, slot: str) -> Path:
        return self.folder / "slots" / f"{slot}.bundle"

    def in_store(self, sha256: str) -> Path:
        return self.store / f"{sha256}.bundle"

    def put(self, slot: str, sha256: str) -> None:
        """Put a fetched bundle into a slot that neither serves nor is fallen back to."""
        installation = self.installation
        if slot in (installation.active, installation.suspended):
            raise ValueError(f"slot {slot} is in use; nothing is written to it")
        path = self.path(slot)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".new")
        beside.unlink(missing_ok=True)
        try:
            os.link(self.in_store(sha256), beside)
        except OSError:
            # A file system without hard links, or bundles on a mount of their own.
            shutil.copyfile(self.in_store(sha256), beside)
            _sync(beside)
        beside.replace(path)
        _sync(path.parent)

    def bundle(self, slot: str, trusted: Trusted) -> Bundle:
        """Read the bundle in a slot, verified from scratch: flash forgets, too."""
        return trusted.read(self.path(slot), sha256=self.installation.slots[slot].sha256)

    def clean(self, *, now_ms: int, keep: int, keep_days: float) -> list[str]:
        """Remove fetched bundles that are neither in a slot nor among the newest `keep`, or that are too old."""
        used = {content.sha256 for content in self.installation.slots.values()}
        if self.installation.order is not None:
            used.add(self.installation.order.sha256)
        files = sorted(self.store.glob("*.bundle"), key=lambda path: path.stat().st_mtime, reverse=True)
        spare = [path for path in files if path.stem not in used]
        allowed = max(keep - len(files) + len(spare), 0)
        oldest_s = now_ms / 1000 - keep_days * 86_400
        gone = [path for place, path in enumerate(spare) if place >= allowed or path.stat().st_mtime < oldest_s]
        gone += [path for path in self.store.glob("*.part") if path.stem not in used]
        for path in gone:
            path.unlink(missing_ok=True)
        return [path.name for path in gone]

    def _read(self) -> Installation:
        try:
            return _decoded(self._state_file.read_bytes())
        except FileNotFoundError:
            self.fresh = True
            return Installation()
        except (ValueError, KeyError, TypeError) as error:
            # Never seen but on dying flash: begin anew, and let the command on the topic bring the model back.
            self.fresh = True
            self.damaged = f"{self._state_file}: {error}"
            _log.error("slots damaged: %s", self.damaged)
            with contextlib.suppress(OSError):
                self._state_file.replace(self._state_file.with_suffix(".damaged"))
            return Installation()


def _encoded(installation: Installation) -> bytes:
    return json.dumps(asdict(installation), indent=1, sort_keys=True).encode()


def _decoded(content: bytes) -> Installation:
    plain: dict[str, Any] = json.loads(content)
    slots = {
        name: Content(state=SlotState(slot["state"]), model_id=slot["model_id"], sha256=slot["sha256"])
        for name, slot in plain.pop("slots").items()
    }
    order = plain.pop("order")
    said = tuple(Said(**{**each, "phase": AckPhase(each["phase"])}) for each in plain.pop("to_say"))
    plain["phase"] = AckPhase(plain["phase"])
    plain["safe_mode"] = SafeModeReason(plain["safe_mode"])
    return Installation(slots=slots, order=None if order is None else Order(**order), to_say=said, **plain)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
