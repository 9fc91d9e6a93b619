"""What is installed, and what becomes of it as commands come and models fare: a state machine without a disk.

It keeps these rules:

* one command counts, the one with the highest revision; a repeat is answered again and nothing is done twice;
* the slot that serves, and the one to fall back to, are never written to;
* a model that is to be activated later waits in its slot, over any number of restarts, for a newer command to say so;
* a model is on trial until its bake passes; one that fails is not used again unless a newer command says so;
* with no slot left that works, the rules decide (safe mode), until the model is well again or another one comes;
* every phase that is reached is said, in order; nothing follows a final word on the same command
  but that it was taken back.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from edge_gateway.events import (
    Accepted,
    BakePassed,
    Booted,
    Event,
    Failed,
    Fetched,
    FetchStarted,
    Installed,
    Order,
    Postponed,
    RanWell,
    Recovered,
    Refused,
    RolledBackByHand,
    SafeModeOff,
    SafeModeOn,
    Spoken,
    Switched,
    WentBad,
)
from schemas.fleet import SlotState
from schemas.rollouts import AckPhase

__all__ = ["FINAL", "SLOTS", "Content", "Installation", "SafeModeReason", "Said", "decide"]

SLOTS: Final = ("A", "B")

FINAL = frozenset({AckPhase.SUCCEEDED, AckPhase.FAILED, AckPhase.FELL_BACK, AckPhase.REFUSED, AckPhase.SUPERSEDED})
_UNDER_WAY = frozenset(
    {AckPhase.RECEIVED, AckPhase.POSTPONED, AckPhase.DOWNLOADING, AckPhase.INSTALLED, AckPhase.TRIAL}
)
_BEFORE_TRIAL = _UNDER_WAY - {AckPhase.TRIAL}


class SafeModeReason(StrEnum):
    """Why the rules decide."""

    NO = ""
    HEALTH = "health"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a slot holds."""

    state: SlotState = SlotState.EMPTY
    model_id: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Something to be acked: on its way until the spool has it; by its number it gets there once."""

    number: int = 0
    revision: int
    rollout_id: str
    phase: AckPhase
    model_id: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """All that must survive a power cut; whatever is written of it is written whole."""

    slots: dict[str, Content] = field(default_factory=lambda: dict.fromkeys(SLOTS, Content()))
    # The slot that serves; empty: the rules decide, or there is nothing yet.
    active: str = ""
    # In safe mode: the slot that serves again when it is left.
    suspended: str = ""
    safe_mode: SafeModeReason = SafeModeReason.NO
    order: Order | None = None
    phase: AckPhase = AckPhase.UNKNOWN
    reason: str = ""
    # The bundle is here, and is being put into its slot.
    fetched: bool = False
    # Starts of the gateway with the active model of which none has lasted yet.
    boots: int = 0
    to_say: tuple[Said, ...] = ()
    said: int = 0

    @property
    def model_id(self) -> str:
        """The model that serves; empty in safe mode."""
        return self.slots[self.active].model_id if self.active else ""

    @property
    def serving(self) -> Content:
        return self.slots[self.active] if self.active else Content()

    @property
    def fallback(self) -> str:
        """The slot that serves when the active one fails; empty where there is none."""
        return _stable_beside(self, self.active) if self.active else ""

    @property
    def target(self) -> str:
        """The slot that the next bundle goes into."""
        used = self.active or self.suspended
        return "B" if used == "A" else "A"


def decide(state: Installation, event: Event) -> Installation:
    """Return the installation after `event`; one that does not fit the moment changes nothing."""
    match event:
        case Accepted(order, by_hand):
            return _take_up(_leave(state, order), order) if by_hand else _accept(state, order)
        case Spoken(number):
            return replace(state, to_say=tuple(said for said in state.to_say if said.number > number))
        case WentBad(reason) if state.active:
            return _fall_back(state, reason)
        case RolledBackByHand(reason) if state.fallback:
            return _fall_back(state, reason)
        case Booted(limit) if state.active:
            if state.boots >= limit:
                return _fall_back(state, f"the gateway was started {state.boots} times with it and never lasted")
            return replace(state, boots=state.boots + 1)
        case RanWell() if state.boots:
            return replace(state, boots=0)
        case SafeModeOn():
            return _safe_mode(state, SafeModeReason.OPERATOR)
        case SafeModeOff() if state.safe_mode:
            return _resume(state)
        case Recovered() if state.safe_mode is SafeModeReason.HEALTH and state.suspended:
            return _resume(state)
        case _:
            return _proceed(state, event)


def _proceed(state: Installation, event: Event) -> Installation:
    """What the command under way becomes."""
    match event, state.phase:
        case Postponed(reason), AckPhase.RECEIVED | AckPhase.POSTPONED if (state.phase, state.reason) != (
            AckPhase.POSTPONED,
            reason,
        ):
            return _say(state, AckPhase.POSTPONED, reason)
        case FetchStarted(), AckPhase.RECEIVED | AckPhase.POSTPONED:
            return replace(_say(state, AckPhase.DOWNLOADING), fetched=False)
        case FetchStarted(), AckPhase.DOWNLOADING if state.fetched:
            # What was fetched is gone from the store.
            return replace(state, fetched=False)
        case Fetched(), AckPhase.DOWNLOADING:
            return _with_slot(replace(state, fetched=True), state.target, Content())
        case Installed(), AckPhase.DOWNLOADING if state.fetched and state.order:
            held = Content(state=SlotState.INSTALLED, model_id=state.order.model_id, sha256=state.order.sha256)
            return _say(replace(_with_slot(state, state.target, held), fetched=False), AckPhase.INSTALLED)
        case Refused(reason), phase if phase in _BEFORE_TRIAL:
            return _say(replace(state, fetched=False), AckPhase.REFUSED, reason)
        case Failed(reason), phase if phase in _BEFORE_TRIAL:
            return _say(replace(state, fetched=False), AckPhase.FAILED, reason)
        case Switched(), AckPhase.INSTALLED if state.order and not state.order.later:
            return _switch(state, SlotState.TRIAL)
        case BakePassed(reason), AckPhase.TRIAL if state.active:
            baked = replace(state.serving, state=SlotState.STABLE)
            return _say(_with_slot(state, state.active, baked), AckPhase.SUCCEEDED, reason)
        case _:
            return state


def _accept(state: Installation, order: Order) -> Installation:
    last = state.order
    if last is not None and order.revision < last.revision:
        reason = f"revision {order.revision} is older than {last.revision}, which this device has taken up"
        return _mention(state, order, AckPhase.REFUSED, reason)
    if last is not None and order.revision == last.revision:
        if order.sha256 != last.sha256:
            reason = f"revision {order.revision} was already another bundle: {last.sha256:.12}"
            return _mention(state, order, AckPhase.REFUSED, reason)
        # The ack was lost, perhaps; the work was not.
        return _mention(state, order, state.phase, state.reason)
    return _take_up(_leave(state, order), order)


def _leave(state: Installation, newer: Order) -> Installation:
    """Let go of the command that a newer one supersedes."""
    if state.order is None or state.phase not in _UNDER_WAY:
        return state
    if state.phase is AckPhase.TRIAL and state.slots[state.active or state.suspended].sha256 != newer.sha256:
        state = _revert_trial(state)
    return _say(replace(state, fetched=False), AckPhase.SUPERSEDED, f"revision {newer.revision} came")


def _take_up(state: Installation, order: Order) -> Installation:
    on_trial = state.serving.state is SlotState.TRIAL
    state = _say(replace(state, order=order), AckPhase.RECEIVED)
    if state.active and state.serving.sha256 == order.sha256:
        # What runs already is not installed again; what is on trial for an older command goes on being so.
        return _say(state, AckPhase.TRIAL if on_trial else AckPhase.SUCCEEDED, "it runs already")
    waiting = state.slots[state.target]
    if (waiting.model_id, waiting.sha256) == (order.model_id, order.sha256):
        if state.active and waiting.state is SlotState.STABLE and not order.later:
            # Proven on this device: the way back is instant.
            return _switch(state, SlotState.STABLE)
        if waiting.state in (SlotState.STABLE, SlotState.INSTALLED):
            # An earlier command brought it, and it passed its self-test.
            return _say(state, AckPhase.INSTALLED, "it was kept on this device")
    return state


def _switch(state: Installation, becomes: SlotState) -> Installation:
    target = state.target
    serving = replace(state.slots[target], state=becomes)
    # A model that serves again after safe mode replaces the one that was suspended.
    state = _with_slot(replace(state, active=target, suspended="", boots=0), target, serving)
    state = replace(state, safe_mode=SafeModeReason.NO)
    if becomes is SlotState.TRIAL:
        return _say(state, AckPhase.TRIAL)
    return _say(state, AckPhase.SUCCEEDED, "it was kept on this device")


def _revert_trial(state: Installation) -> Installation:
    """Take a model off trial, unproven; the one before it serves again."""
    trial = state.active or state.suspended
    before = _stable_beside(state, trial)
    state = _with_slot(state, trial, replace(state.slots[trial], state=SlotState.INSTALLED))
    if not state.active:
        return replace(state, suspended=before)
    return replace(state, active=before, boots=0)


def _fall_back(state: Installation, reason: str) -> Installation:
    bad, fallback = state.active, state.fallback
    concerned = state.order is not None and state.order.sha256 == state.serving.sha256
    was_stable = state.serving.state is SlotState.STABLE
    if not fallback and was_stable:
        # The last good model: it keeps its slot, and serves again when it is well.
        state = _safe_mode(state, SafeModeReason.HEALTH)
    else:
        state = _with_slot(state, bad, replace(state.serving, state=SlotState.BAD))
        state = replace(state, active=fallback, boots=0)
        if not fallback:
            state = replace(state, safe_mode=SafeModeReason.HEALTH)
    if concerned and state.phase is not AckPhase.FELL_BACK:
        return _say(state, AckPhase.FELL_BACK, reason)
    return state


def _safe_mode(state: Installation, why: SafeModeReason) -> Installation:
    return replace(state, active="", suspended=state.active or state.suspended, safe_mode=why, boots=0)


def _resume(state: Installation) -> Installation:
    if state.suspended:
        return replace(state, active=state.suspended, suspended="", safe_mode=SafeModeReason.NO, boots=0)
    # Nothing to go back to: without a model there is no safe mode to be in, with a bad one there is no leaving it.
    bad = any(content.state is SlotState.BAD for content in state.slots.values())
    return replace(state, safe_mode=SafeModeReason.HEALTH if bad else SafeModeReason.NO)


def _stable_beside(state: Installation, slot: str) -> str:
    return next((name for name in SLOTS if name != slot and state.slots[name].state is SlotState.STABLE), "")


def _with_slot(state: Installation, name: str, content: Content) -> Installation:
    return replace(state, slots={**state.slots, name: content})


def _say(state: Installation, phase: AckPhase, reason: str = "") -> Installation:
    """Reach a phase of the command that counts, and say so."""
    state = replace(state, phase=phase, reason=reason)
    return state if state.order is None else _mention(state, state.order, phase, reason)


def _mention(state: Installation, order: Order, phase: AckPhase, reason: str) -> Installation:
    said = Said(
        number=state.said + 1,
        revision=order.revision,
        rollout_id=order.rollout_id,
        phase=phase,
        model_id=state.model_id,
        reason=reason,
    )
    return replace(state, to_say=(*state.to_say, said), said=said.number)
