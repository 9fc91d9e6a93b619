"""What the console is lent by the rooms that it does not import; what is not installed is not lent."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from console import Lent
from schemas.fleet import Device

__all__ = ["lent_by_rooms"]


def lent_by_rooms() -> Lent:
    """Return what this installation can lend."""
    try:
        from streams.drift.policy import read_policy
        from streams.rollouts.plan import parse_plan
    except ModuleNotFoundError:
        return Lent()

    def check_plan(document: Mapping[str, Any]) -> tuple[str, str]:
        plan = parse_plan(dict(document))
        return plan.rollout_id, plan.document

    def check_policy(document: str) -> None:
        read_policy(document)

    return Lent(check_plan=check_plan, foresee=_foreseer(), check_policy=check_policy)


def _foreseer() -> Callable[[Mapping[str, Any], Sequence[Device]], list[dict[str, Any]]]:
    from streams.rollouts.plan import parse_plan
    from streams.rollouts.rehearsal import foresee

    def foreseen(document: Mapping[str, Any], devices: Sequence[Device]) -> list[dict[str, Any]]:
        return [
            {
                "stage": stage.stage,
                "devices": list(stage.devices),
                "offline": stage.offline,
                "begins_s": stage.begins_s,
                "ends_s": stage.ends_s,
            }
            for stage in foresee(parse_plan(dict(document)), devices, None)
        ]

    return foreseen
