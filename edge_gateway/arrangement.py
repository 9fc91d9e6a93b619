"""Which bundles are at work for an installation: the one that serves, and the one that runs beside it."""

import logging
from typing import NamedTuple

from edge_gateway.errors import GatewayError
from edge_gateway.events import WentBad
from edge_gateway.inference import Model
from edge_gateway.installation import SLOTS, Installation, SafeModeReason
from edge_gateway.scorer import Loaded
from edge_gateway.selftest import check_fits
from edge_gateway.slots import Slots
from edge_gateway.trusted import Trusted
from schemas.fleet import SlotState
from schemas.rollouts import AckPhase
from trust import TrustError

__all__ = ["Cast", "Loader", "cast_of"]

_log = logging.getLogger(__name__)


class Cast(NamedTuple):
    """Slots by their part; empty where nobody plays it."""

    serving: str
    rules: str
    beside: str


def cast_of(installation: Installation, *, shadow: bool) -> Cast:
    """Say who plays which part.

    On trial, the model before runs beside, to tell a bad model from a changed world; in the shadow, the new one does;
    in safe mode, the suspended one, until it is well again.
    """
    if not installation.active:
        beside = installation.suspended if installation.safe_mode is SafeModeReason.HEALTH else ""
        return Cast("", _rules_slot(installation), beside)
    if installation.phase is AckPhase.TRIAL and installation.serving.state is SlotState.TRIAL:
        return Cast(installation.active, "", installation.fallback)
    if installation.phase is AckPhase.INSTALLED and shadow:
        return Cast(installation.active, "", installation.target)
    return Cast(installation.active, "", "")


class Loader:
    """Loads bundles from their slots, and keeps those that are in use."""

    def __init__(self, slots: Slots, trusted: Trusted, *, threads: int, channels: tuple[str, ...] | None) -> None:
        self._slots = slots
        self._trusted = trusted
        self._threads = threads
        self._channels = channels
        self._loaded: dict[tuple[str, str], Loaded] = {}

    def offer(self, loaded: Loaded, sha256: str) -> None:
        """Take over a bundle that was loaded elsewhere, such as for its self-test."""
        self._loaded[loaded.slot, sha256] = loaded

    def serving(self) -> Loaded | None:
        """Return what serves; a slot that cannot be loaded is given up, until one works or none is left."""
        for _ in range(len(SLOTS) + 1):
            slot = self._slots.installation.active
            if not slot:
                return None
            try:
                return self._load(slot)
            except (GatewayError, TrustError, OSError) as error:
                self._slots.apply(WentBad(f"slot {slot} cannot be loaded: {error}"))
        return None

    def rules(self, slot: str) -> Loaded | None:
        return self._quietly(slot, rules_only=True)

    def beside(self, slot: str) -> Loaded | None:
        return self._quietly(slot, rules_only=False)

    def keep_only(self, slots: set[str]) -> None:
        """Forget bundles that are out of use; their memory goes with them."""
        contents = self._slots.installation.slots
        self._loaded = {
            (slot, sha256): loaded
            for (slot, sha256), loaded in self._loaded.items()
            if slot in slots and contents[slot].sha256 == sha256
        }

    def _quietly(self, slot: str, *, rules_only: bool) -> Loaded | None:
        if not slot:
            return None
        try:
            return self._load(slot, rules_only=rules_only)
        except (GatewayError, TrustError, OSError) as error:
            _log.error("bundle of no use: slot=%s error=%s", slot, error)
            return None

    def _load(self, slot: str, *, rules_only: bool = False) -> Loaded:
        sha256 = self._slots.installation.slots[slot].sha256
        known = self._loaded.get((slot, sha256))
        if known is not None and not rules_only:
            return known
        bundle = self._slots.bundle(slot, self._trusted)
        pipeline = check_fits(bundle, self._channels)
        if rules_only:
            return Loaded(slot, bundle.manifest, bundle.grid, pipeline, None)
        model = Model(bundle.model, features=len(bundle.manifest.features), threads=self._threads)
        loaded = self._loaded[slot, sha256] = Loaded(slot, bundle.manifest, bundle.grid, pipeline, model)
        return loaded


def _rules_slot(installation: Installation) -> str:
    if not installation.safe_mode:
        return ""
    filled = [name for name in SLOTS if installation.slots[name].state is not SlotState.EMPTY]
    return installation.suspended or next(iter(filled), "")
