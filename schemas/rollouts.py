"""Rollouts: the plan, how it goes, and what each device is told and answers."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Annotated

from schemas.fields import Count, Millis, Total, Uuid
from schemas.record import record

__all__ = [
    "Ack",
    "AckPhase",
    "Command",
    "DeviceInRollout",
    "GateResult",
    "GateVerdict",
    "RolloutDevice",
    "RolloutLeader",
    "RolloutPhase",
    "RolloutPlan",
    "RolloutStatus",
]


class RolloutPhase(StrEnum):
    """Where a rollout is."""

    UNKNOWN = "unknown"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    BAKING = "baking"
    AWAITING_APPROVAL = "awaiting_approval"
    PAUSED = "paused"
    ROLLING_BACK = "rolling_back"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"


class GateVerdict(StrEnum):
    """What a gate says of the present stage."""

    UNKNOWN = "unknown"
    NO_DATA = "no_data"
    INCONCLUSIVE = "inconclusive"
    PASS = "pass"  # noqa: S105
    HOLD = "hold"
    FAIL = "fail"


class DeviceInRollout(StrEnum):
    """How far one device is in one rollout."""

    UNKNOWN = "unknown"
    # Its turn has not come, or has and waits for the rate.
    WAITING = "waiting"
    # The same, but it is offline; left behind within the plan's share.
    OFFLINE = "offline"
    # Another rollout has it.
    HELD = "held"
    COMMANDED = "commanded"
    IN_PROGRESS = "in_progress"
    # Commanded, then offline for longer than the timeout; the command stands.
    ABSENT = "absent"
    # Failed, and will be tried again.
    BACKING_OFF = "backing_off"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    # Told to go back to what it ran before.
    RETURNING = "returning"
    # Told so, and not heard from in time; the command stands.
    STRANDED = "stranded"
    ROLLED_BACK = "rolled_back"
    # A newer rollout took it over.
    SUPERSEDED = "superseded"
    # Its hardware or firmware fails as a class.
    QUARANTINED = "quarantined"
    # No longer in the cohort, or revoked.
    LEFT = "left"


class AckPhase(StrEnum):
    """What a gateway reports about a command, in the order in which it happens."""

    UNKNOWN = "unknown"
    RECEIVED = "received"
    POSTPONED = "postponed"
    DOWNLOADING = "downloading"
    INSTALLED = "installed"
    TRIAL = "trial"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    FELL_BACK = "fell_back"
    REFUSED = "refused"
    SUPERSEDED = "superseded"


@record(namespace="rollouts")
class RolloutPlan:
    """What should be brought where, in which stages, watched how."""

    rollout_id: Annotated[str, "Names the rollout; equals the record's key."]
    model_id: Annotated[str, "The release, as name/version."]
    document: Annotated[str, "The whole plan, canonical JSON."]
    created_ms: Annotated[Millis, "When it was accepted."]
    created_by: Annotated[str, "Who asked for it."]


@record(namespace="rollouts")
class GateResult:
    """One gate's verdict and what it stands on."""

    gate: Annotated[str, "The gate's name in the plan."]
    verdict: Annotated[GateVerdict, "What it says."]
    reason: Annotated[str, "One line for a person."]
    evidence: Annotated[Mapping[str, float], "The figures behind it, by name."] = field(default_factory=dict)


@record(namespace="rollouts")
class RolloutStatus:
    """A rollout as it now stands, in short."""

    rollout_id: Annotated[str, "The rollout; equals the record's key."]
    model_id: Annotated[str, "The release, as name/version."]
    phase: Annotated[RolloutPhase, "Where it is."]
    stage: Annotated[Count, "The present stage, from 0."]
    stages: Annotated[Count, "Stages of the plan."]
    reason: Annotated[str, "Why it is where it is, for a person."]
    changed_ms: Annotated[Millis, "When the phase or stage last changed."]
    devices: Annotated[Mapping[str, int], "Devices by how far they are."]
    gates: Annotated[tuple[GateResult, ...], "The gates of the present stage."]
    digested: Annotated[Mapping[str, int], "Next offset of each input, as topic/partition, that is not yet digested."]
    state: Annotated[str, "The machine's own state, JSON; for the next controller only."] = ""
    stage_devices: Annotated[
        Mapping[str, int], "The same devices by the stage that takes them and how far they are, as stage/state."
    ] = field(default_factory=dict)


@record(namespace="rollouts")
class RolloutDevice:
    """What one device did in one rollout."""

    rollout_id: Annotated[str, "The rollout; with device_id the record's key, as rollout_id/device_id."]
    device_id: Annotated[str, "The device."]
    state: Annotated[DeviceInRollout, "How far it is."]
    stage: Annotated[Count, "The stage that took it in, from 0."]
    revision: Annotated[Total, "Revision of the command it was given; 0 for none yet."]
    attempts: Annotated[Count, "Commands given so far."]
    previous_model_id: Annotated[str, "What it ran before; where a rollback leads."]
    reason: Annotated[str, "What it said last, for a person."]
    changed_ms: Annotated[Millis, "When the state last changed."]
    awaited_ms: Annotated[Millis, "From when its timeout counts; while it backs off, when it is tried again."] = 0


@record(namespace="rollouts")
class Command:
    """What a device should run. It does not expire; an older revision is ignored."""

    device_id: Annotated[str, "The device; equals the record's key."]
    revision: Annotated[Total, "Rises with every command to the device."]
    rollout_id: Annotated[str, "The rollout it belongs to."]
    model_id: Annotated[str, "What to run, as name/version."]
    bundle_sha256: Annotated[str, "SHA-256 of the bundle, in hex."]
    bundle_bytes: Annotated[Total, "Size of the bundle."]
    bundle_url: Annotated[str, "Where to fetch it."]
    issued_ms: Annotated[Millis, "When the command was issued."]
    envelope: Annotated[str, "What the device obeys: the signed fields, a DSSE envelope, JSON."]
    settings: Annotated[Mapping[str, str], "How to apply: bake time, limits, shadow, maintenance window."] = field(
        default_factory=dict
    )


@record(namespace="rollouts")
class Ack:
    """What a device did about a command."""

    device_id: Annotated[str, "The device; equals the record's key."]
    revision: Annotated[Total, "The command's revision."]
    rollout_id: Annotated[str, "The command's rollout."]
    phase: Annotated[AckPhase, "What it did."]
    model_id: Annotated[str, "The model that serves now; empty in safe mode."]
    reason: Annotated[str, "Why, where it refused, failed, waited or fell back; for a person."]
    at_ms: Annotated[Millis, "Device clock."]
    boot_id: Annotated[Uuid, "One life of the gateway's counter `seq`."]
    seq: Annotated[Total, "Counts a device's acks within a boot_id; a late one is known by it."]


@record(namespace="rollouts")
class RolloutLeader:
    """Which controller is active; several stand by."""

    role: Annotated[str, "What it leads; equals the record's key."]
    who: Annotated[str, "The controller, as host/process."]
    since_ms: Annotated[Millis, "When it took over."]
