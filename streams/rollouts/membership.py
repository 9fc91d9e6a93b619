"""Who belongs to a rollout, and to which of its stages."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from schemas.fleet import Device, DeviceState
from schemas.release import ModelRelease
from streams.rollouts.cohort import EVERYBODY
from streams.rollouts.events import Arrivals, DeviceJoined
from streams.rollouts.fleet import traits_of
from streams.rollouts.plan import Plan
from streams.rollouts.rings import NO_STAGE, assign_stages, ring_position, ring_positions

__all__ = ["arrivals", "belongs", "joined", "joined_alone", "kin_of", "stage_alone"]

# Labels by which canary and control are matched, beside those that the plan's quarantine goes by.
MATCHED = ("hw", "firmware", "region")


def belongs(plan: Plan, device: Device, release: ModelRelease | None) -> bool:
    """Say whether a device is in a plan's cohort, and could run the release."""
    if device.state is DeviceState.REVOKED:
        return False
    if release is not None and not device.can_run(release.pipeline):
        return False
    return plan.cohort.takes(traits_of(device))


def arrivals(plan: Plan, devices: Iterable[Device], release: ModelRelease | None) -> Arrivals:
    """Return the devices of a plan that begins, with their stages, in the order of the ring."""
    found = _cohort_of(plan, devices, release)
    positions = ring_positions(plan.salt, [device.device_id for device in found])
    own, masks = _own_stages(plan, found, positions)
    least = [stage.min_devices for stage in plan.stages]
    strata = _strata(plan, found)
    stages = own
    if any(least) or strata is not None:
        shares = [stage.share for stage in plan.stages]
        stages = assign_stages(positions, shares, masks, min_devices=least, strata=strata)
    return _in_ring_order(plan, found, positions, stages, chosen=stages != own)


def joined(plan: Plan, devices: Iterable[Device], release: ModelRelease | None, now_ms: int) -> list[DeviceJoined]:
    """Return the same one by one."""
    return _one_by_one(arrivals(plan, devices, release), now_ms)


def joined_alone(
    plan: Plan, devices: Iterable[Device], release: ModelRelease | None, now_ms: int
) -> list[DeviceJoined]:
    """Return the devices of a plan, each with the stage that `stage_alone` gives it."""
    found = _cohort_of(plan, devices, release)
    positions = ring_positions(plan.salt, [device.device_id for device in found])
    own, _ = _own_stages(plan, found, positions)
    return _one_by_one(_in_ring_order(plan, found, positions, own, chosen=np.zeros(len(own), np.bool_)), now_ms)


def stage_alone(plan: Plan, device: Device, now_ms: int) -> DeviceJoined:
    """Return a late joiner with the stage that its hash and its labels give it."""
    position = ring_position(plan.salt, device.device_id)
    for number, stage in enumerate(plan.stages):
        ring = plan.rings[number]
        if ring.takes(traits_of(device)) if ring is not None else position < (stage.share or 0.0):
            return _event(plan, device, number, position, now_ms)
    return _event(plan, device, NO_STAGE, position, now_ms)


def kin_of(plan: Plan, device: Device) -> str:
    """Return what a device has in common with others.

    >>> from schemas.fleet import DeviceState
    >>> from streams.rollouts.plan import parse_plan
    >>> device = Device(device_id="d1", state=DeviceState.ONLINE, labels={"hw": "rev2", "site": "x"}, model_id="",
    ...     revision=0, registered_ms=0, last_seen_ms=0)
    >>> kin_of(parse_plan({"rollout": "r1", "model": "m/1"}), device)
    'hw=rev2'
    """
    return _kin(_kin_names(plan), device)


def _kin_names(plan: Plan) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*MATCHED, *(plan.quarantine.by if plan.quarantine else ()))))


def _kin(names: tuple[str, ...], device: Device) -> str:
    labels = device.labels
    if not labels:
        return ""
    return "|".join([f"{name}={labels[name]}" for name in names if name in labels])


def _previous(device: Device) -> str:
    return device.proven_model_id or device.model_id


def _cohort_of(plan: Plan, devices: Iterable[Device], release: ModelRelease | None) -> list[Device]:
    if plan.cohort != EVERYBODY:
        return [device for device in devices if belongs(plan, device, release)]
    # A million devices need not be asked one by one what none of them can fail.
    pipeline = release.pipeline if release is not None else None
    return [
        device
        for device in devices
        if device.state is not DeviceState.REVOKED and (pipeline is None or device.can_run(pipeline))
    ]


def _event(plan: Plan, device: Device, stage: int, position: float, now_ms: int) -> DeviceJoined:
    return DeviceJoined(
        device_id=device.device_id,
        now_ms=now_ms,
        stage=stage,
        position=position,
        previous=_previous(device),
        kin=kin_of(plan, device),
        online=device.state is not DeviceState.OFFLINE,
    )


_Masks = list[npt.NDArray[np.bool_] | None]


def _own_stages(
    plan: Plan, members: list[Device], positions: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.uint8], _Masks]:
    """Return the stages that hash and labels of each device give it, and who is in the named ones."""
    masks = [_mask(plan, number, members) for number in range(len(plan.stages))]
    shares = [stage.share for stage in plan.stages]
    return assign_stages(positions, shares, masks, min_devices=[0] * len(shares)), masks


def _in_ring_order(
    plan: Plan,
    found: list[Device],
    positions: npt.NDArray[np.float64],
    stages: npt.NDArray[np.uint8],
    *,
    chosen: npt.NDArray[np.bool_],
) -> Arrivals:
    order = np.argsort(positions, kind="stable")
    members = [found[place] for place in order.tolist()]
    names = _kin_names(plan)
    return Arrivals(
        ids=[device.device_id for device in members],
        stages=stages[order].astype(np.uint8),
        positions=positions[order],
        previous=[_previous(device) for device in members],
        kin=[_kin(names, device) for device in members],
        online=np.array([device.state is not DeviceState.OFFLINE for device in members], dtype=np.bool_),
        chosen=chosen[order],
    )


def _one_by_one(found: Arrivals, now_ms: int) -> list[DeviceJoined]:
    columns = zip(
        found.ids, found.stages.tolist(), found.positions.tolist(), found.previous, found.kin, found.online.tolist(),
        strict=True,
    )  # fmt: skip
    return [DeviceJoined(device_id, now_ms, *rest) for device_id, *rest in columns]


def _mask(plan: Plan, number: int, members: list[Device]) -> npt.NDArray[np.bool_] | None:
    ring = plan.rings[number]
    if ring is None:
        return None
    return np.array([ring.takes(traits_of(device)) for device in members], dtype=np.bool_)


def _strata(plan: Plan, members: list[Device]) -> npt.NDArray[np.int64] | None:
    if not plan.stratify:
        return None
    numbers: dict[tuple[str, ...], int] = {}
    strata = [tuple(device.labels.get(name, "") for name in plan.stratify) for device in members]
    return np.array([numbers.setdefault(stratum, len(numbers)) for stratum in strata], dtype=np.int64)
