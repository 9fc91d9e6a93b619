"""Operators' requests about rollouts and devices, understood: which event, or which change to the fleet."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from schemas.errors import DriftlineError
from schemas.fleet import Device, DeviceState
from schemas.operators import OperatorRequest
from streams.rollouts.events import (
    Aborted,
    Approved,
    BakeSkipped,
    Cancelled,
    Event,
    Paused,
    Promoted,
    QuarantineLifted,
    Resumed,
    Retried,
)
from streams.rollouts.fleet import Fleet

__all__ = ["DEVICE_ACTIONS", "ROLLOUT_ACTIONS", "RequestError", "change_device", "event_of"]


class RequestError(DriftlineError):
    """A request that cannot be carried out; the reason goes to the audit log."""


def _yes(request: OperatorRequest, name: str, default: str) -> bool:
    said = request.arguments.get(name, default).lower()
    if said not in ("true", "false"):
        raise RequestError(f"{name} is {said!r}, wanted true or false")
    return said == "true"


def _named(request: OperatorRequest, name: str) -> str:
    said = request.arguments.get(name, "")
    if not said:
        raise RequestError(f"{request.action} wants a {name}, such as hw=rev2")
    return said


_Make = Callable[[OperatorRequest, int], Event]
_EVENTS: Mapping[str, _Make] = {
    "pause": lambda said, now_ms: Paused(said.who, said.why, now_ms),
    "resume": lambda said, now_ms: Resumed(said.who, said.why, now_ms),
    "promote": lambda said, now_ms: Promoted(said.who, said.why, now_ms, full=_yes(said, "full", "false")),
    "skip-bake": lambda said, now_ms: BakeSkipped(said.who, said.why, now_ms),
    "approve": lambda said, now_ms: Approved(said.who, said.why, now_ms),
    "abort": lambda said, now_ms: Aborted(said.who, said.why, now_ms, rollback=_yes(said, "rollback", "true")),
    "cancel": lambda said, now_ms: Cancelled(said.who, said.why, now_ms),
    "retry": lambda said, now_ms: Retried(said.who, said.why, now_ms),
    "lift": lambda said, now_ms: QuarantineLifted(_named(said, "trait"), said.who, said.why, now_ms),
}
# `start` brings the plan's document along and makes the rollout.
ROLLOUT_ACTIONS = ("start", *_EVENTS)
DEVICE_ACTIONS = ("register", "revoke", "label", "group")
# No gateway starts with another one.
_LONGEST_ID = 200


def event_of(request: OperatorRequest, now_ms: int) -> Event:
    try:
        make = _EVENTS[request.action]
    except KeyError:
        raise RequestError(f"unknown action {request.action!r}; known: {', '.join(ROLLOUT_ACTIONS)}") from None
    return make(request, now_ms)


def change_device(fleet: Fleet, device_id: str, request: OperatorRequest, now_ms: int) -> Device:
    """Register, revoke, label or group a device; return it as it now is."""
    device = fleet.get(device_id)
    if request.action not in DEVICE_ACTIONS:
        raise RequestError(f"unknown action {request.action!r}; known: {', '.join(DEVICE_ACTIONS)}")
    if device is None:
        if request.action != "register":
            raise RequestError(f"no device {device_id!r} is registered")
        if not 0 < len(device_id) <= _LONGEST_ID or "/" in device_id:
            raise RequestError(
                f"the device is {device_id!r}, wanted 1 to {_LONGEST_ID} characters, none of them a slash"
            )
        device = _new(device_id, now_ms)
        fleet.put(device)
    match request.action:
        case "register":
            if device.state is DeviceState.REVOKED:
                fleet.put(replace(device, state=DeviceState.REGISTERED))
            return fleet.label(device_id, request.arguments)
        case "revoke":
            fleet.put(replace(device, state=DeviceState.REVOKED))
            return replace(device, state=DeviceState.REVOKED)
        case "label":
            return fleet.label(device_id, request.arguments)
        case _:
            groups = tuple(sorted(filter(None, request.arguments.get("groups", "").split(","))))
            return fleet.label(device_id, {}, groups)


def _new(device_id: str, now_ms: int) -> Device:
    return Device(
        device_id=device_id,
        state=DeviceState.REGISTERED,
        labels={},
        model_id="",
        revision=0,
        registered_ms=now_ms,
        last_seen_ms=0,
    )
