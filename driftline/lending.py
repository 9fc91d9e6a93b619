"""What the console is lent by the rooms that it does not import; what is not installed is not lent."""

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from console import Lent
from schemas.cluster import Cluster
from schemas.fleet import Device

__all__ = ["lent_by_rooms"]


def lent_by_rooms(cluster: Cluster, folder: Path, *, policy_key: str = "", cache_dir: Path | None = None) -> Lent:
    """Return what this installation can lend; `policy_key` signs policies, `folder` keeps backtests."""
    try:
        from driftline.policies import check_document
        from streams.rollouts.plan import parse_plan
    except ModuleNotFoundError:
        return Lent()

    def check_plan(document: Mapping[str, Any]) -> tuple[str, str]:
        plan = parse_plan(dict(document))
        return plan.rollout_id, plan.document

    return Lent(
        check_plan=check_plan,
        foresee=_foreseer(),
        check_policy=check_document,
        issue_policy=_issuer(cluster, policy_key) if policy_key else None,
        backtests=_backtests(cluster, folder, cache_dir),
        move_release=_mover(cluster),
    )


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
            for stage in foresee(parse_plan(dict(document)), devices, None, now_ms=time.time_ns() // 1_000_000)
        ]

    return foreseen


def _issuer(cluster: Cluster, key: str) -> Callable[[str, str, str, str, Collection[int] | None], int | None]:
    from driftline.policies import ChangedMeanwhileError, publish_policy
    from trust import load_signer

    # A key that cannot be read stops the console at its start.
    signer = load_signer(key, environ=os.environ)

    def issue(policy_id: str, document: str, who: str, why: str, only_after: Collection[int] | None) -> int | None:
        try:
            return publish_policy(
                cluster, policy_id, document, [signer], who=who, why=why, only_after=only_after
            ).revision
        except ChangedMeanwhileError:
            return None

    return issue


def _mover(cluster: Cluster) -> Callable[[str, str, str, str, bool], Mapping[str, str]] | None:
    try:
        from driftline.releases import archive_release, promote_release
    except ModuleNotFoundError:
        return None

    def move(action: str, model_id: str, who: str, why: str, insist: bool) -> Mapping[str, str]:
        if action == "archive":
            changed = [archive_release(cluster, model_id, who=who, why=why, insist=insist)]
        else:
            changed = [*promote_release(cluster, model_id, who=who, why=why, insist=insist)]
        return {f"{one.model}/{one.version}": one.stage.value for one in changed}

    return move


def _backtests(cluster: Cluster, folder: Path, cache_dir: Path | None) -> Any:
    if any(find_spec(name) is None for name in ("polars", "pyarrow")):
        return None
    from driftline.console_backtests import LocalBacktests

    return LocalBacktests(cluster, folder, cache_dir=cache_dir)
