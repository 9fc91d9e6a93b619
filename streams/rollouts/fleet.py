"""The fleet as the controller knows it: who is registered, how they are labelled, and who was heard from lately."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from schemas.fleet import Device, DeviceState, Heartbeat, SlotState
from streams.rollouts.cohort import Traits

__all__ = ["OFFLINE_AFTER_MS", "Fleet", "traits_of"]

# Three heartbeats of a minute that did not come.
OFFLINE_AFTER_MS = 3 * 60_000
# How old the published time of the last heartbeat may become while nothing else changes.
SEEN_EVERY_MS = 10 * 60_000


class Fleet:
    """All devices by their id. Records that changed are collected until they are taken for publishing."""

    def __init__(self) -> None:
        self._devices: dict[str, Device] = {}
        # Ordered: who was heard from longest ago comes first.
        self._seen_ms: dict[str, int] = {}
        self._changed: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._devices)

    def __iter__(self) -> Iterator[Device]:
        return iter(self._devices.values())

    def get(self, device_id: str) -> Device | None:
        return self._devices.get(device_id)

    def restore(self, device: Device, *, now_ms: int) -> None:
        """Take a device as it was published; it has until three heartbeats from now to be heard from."""
        self._devices[device.device_id] = device
        if device.state is DeviceState.ONLINE:
            self._seen_ms[device.device_id] = now_ms

    def put(self, device: Device) -> None:
        """Set a device's record, and publish it."""
        self._devices[device.device_id] = device
        self._changed[device.device_id] = None

    def note_command(self, device: Device) -> None:
        """Set the record of a device that was given a command. Its row in the rollout says the revision, too: it is
        published when there is more to say of the device, or before that row is forgotten.
        """
        self._devices[device.device_id] = device

    def publish(self, device_id: str) -> None:
        """Publish a device as it is."""
        if device_id in self._devices:
            self._changed[device_id] = None

    def take_changed(self) -> list[Device]:
        changed = [self._devices[device_id] for device_id in self._changed]
        self._changed.clear()
        return changed

    def hear(self, heartbeat: Heartbeat, *, at_ms: int, free: bool) -> tuple[Device | None, Device]:
        """Take a heartbeat in; return the device before and after. A `free` device is in no rollout's hands."""
        before = self._devices.get(heartbeat.device_id)
        after = _heard(before or _unknown(heartbeat, at_ms), heartbeat, free=free)
        if after.state is not DeviceState.REVOKED:
            self._seen_ms.pop(after.device_id, None)
            self._seen_ms[after.device_id] = at_ms
        stale = before is None or at_ms - before.last_seen_ms >= SEEN_EVERY_MS
        if after != before or stale:
            after = replace(after, last_seen_ms=at_ms)
            self.put(after)
        return before, after

    def silent(self, now_ms: int) -> list[Device]:
        """Mark those as offline who missed three heartbeats, and return them."""
        gone = []
        for device_id, seen_ms in self._seen_ms.items():
            if seen_ms + OFFLINE_AFTER_MS > now_ms:
                break
            gone.append(device_id)
        devices = []
        for device_id in gone:
            seen_ms = self._seen_ms.pop(device_id)
            device = self._devices[device_id]
            if device.state is DeviceState.ONLINE:
                device = replace(device, state=DeviceState.OFFLINE, last_seen_ms=max(device.last_seen_ms, seen_ms))
                self.put(device)
                devices.append(device)
        return devices

    def label(self, device_id: str, labels: Mapping[str, str], groups: tuple[str, ...] | None = None) -> Device:
        """Set labels of an operator's; an empty text takes a label away, and the device's own shows again later."""
        device = self._devices[device_id]
        said = {name: value for name, value in device.labels.items() if name not in device.operator_labels}
        ours = {name: value for name, value in {**device.operator_labels, **labels}.items() if value}
        device = replace(
            device,
            operator_labels=ours,
            labels={**said, **ours},
            groups=device.groups if groups is None else groups,
        )
        self.put(device)
        return device


def traits_of(device: Device) -> Traits:
    """Return what cohorts may ask of a device."""
    return Traits(device.device_id, device.labels, device.groups, device.model_id)


def _unknown(heartbeat: Heartbeat, at_ms: int) -> Device:
    return Device(
        device_id=heartbeat.device_id,
        state=DeviceState.REGISTERED,
        labels={},
        model_id="",
        # A device that was forgotten here keeps counting where it was.
        revision=heartbeat.revision,
        registered_ms=at_ms,
        last_seen_ms=at_ms,
    )


def _heard(device: Device, heartbeat: Heartbeat, *, free: bool) -> Device:
    settled = all(slot.state is not SlotState.TRIAL for slot in heartbeat.slots if slot.active)
    proven = free and settled and heartbeat.model_id and not heartbeat.safe_mode
    return replace(
        device,
        state=DeviceState.REVOKED if device.state is DeviceState.REVOKED else DeviceState.ONLINE,
        labels={**heartbeat.labels, **device.operator_labels},
        model_id=heartbeat.model_id,
        agent_version=heartbeat.agent_version,
        pipelines=heartbeat.pipelines,
        slots=heartbeat.slots,
        proven_model_id=heartbeat.model_id if proven else device.proven_model_id,
        revision=max(device.revision, heartbeat.revision),
    )
