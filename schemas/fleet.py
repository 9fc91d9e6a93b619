"""The devices: what they say of themselves, and what the controller holds of them."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Annotated

from schemas.fields import Float32, Millis, Total, Uuid
from schemas.record import record

__all__ = ["Device", "DeviceState", "Heartbeat", "Slot", "SlotState"]


class SlotState(StrEnum):
    """What a slot holds."""

    UNKNOWN = "unknown"
    EMPTY = "empty"
    INSTALLED = "installed"
    TRIAL = "trial"
    STABLE = "stable"
    BAD = "bad"


class DeviceState(StrEnum):
    """Whether a device takes part."""

    UNKNOWN = "unknown"
    REGISTERED = "registered"
    ONLINE = "online"
    OFFLINE = "offline"
    REVOKED = "revoked"


@record(namespace="fleet")
class Slot:
    """One of a gateway's two places for a bundle."""

    name: Annotated[str, "A or B."]
    state: Annotated[SlotState, "What it holds."]
    model_id: Annotated[str, "The bundle's model, as name/version; empty when there is none."] = ""
    active: Annotated[bool, "It serves."] = False


@record(namespace="fleet")
class Heartbeat:
    """A gateway is alive; what it has and how it fares."""

    device_id: Annotated[str, "The device; equals the record's key."]
    boot_id: Annotated[Uuid, "The gateway's present life."]
    at_ms: Annotated[Millis, "Device clock."]
    agent_version: Annotated[str, "Version of the gateway software."]
    uptime_s: Annotated[float, "Seconds since the gateway started."]
    model_id: Annotated[str, "The model that serves; empty in safe mode."]
    slots: Annotated[tuple[Slot, ...], "Both slots."]
    pipelines: Annotated[tuple[str, ...], "Feature pipelines it can run, as name/version, or name/* for any version."]
    labels: Annotated[Mapping[str, str], "Hardware, firmware, region and what else the device says of itself."]
    revision: Annotated[Total, "Revision of the last command that it took up; 0 for none."]
    spool_records: Annotated[Total, "Records waiting to be sent."]
    spool_bytes: Annotated[Total, "Their size."]
    spool_dropped: Annotated[Total, "Records given up since the device was enrolled, for want of room or for age."]
    cpu_share: Annotated[Float32, "Use of one core since the last heartbeat; NaN if unknown."]
    memory_bytes: Annotated[Total, "Resident memory of the gateway."]
    disk_free_bytes: Annotated[Total, "Free space where bundles are installed."]
    safe_mode: Annotated[bool, "No model works; the rules decide."] = False


@record(namespace="fleet")
class Device:
    """A device as the controller knows it."""

    device_id: Annotated[str, "The device; equals the record's key."]
    state: Annotated[DeviceState, "Whether it takes part."]
    labels: Annotated[Mapping[str, str], "What operators and the device say of it; operators win."]
    model_id: Annotated[str, "The model it last said it runs."]
    revision: Annotated[Total, "Revision of the last command that was issued to it; 0 for none."]
    registered_ms: Annotated[Millis, "When it was registered."]
    last_seen_ms: Annotated[Millis, "Broker time of the last heartbeat; 0 for never."]
    agent_version: Annotated[str, "Version of its software."] = ""
    groups: Annotated[tuple[str, ...], "Groups that operators put it in."] = ()
    pipelines: Annotated[tuple[str, ...], "Feature pipelines it can run."] = ()
    slots: Annotated[tuple[Slot, ...], "Its slots, when last heard."] = ()
    operator_labels: Annotated[Mapping[str, str], "The part of `labels` that operators set."] = field(
        default_factory=dict
    )
    proven_model_id: Annotated[str, "The model that it last ran soundly; where a roll-back leads."] = ""

    def can_run(self, pipeline: str) -> bool:
        """Say whether it computes what a model of this pipeline wants; a device that never said so may."""
        known = self.pipelines
        return not known or pipeline in known or f"{pipeline.partition('/')[0]}/*" in known
