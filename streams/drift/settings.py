"""What all workers that judge are told: by which policy, under which name, and where they may keep files."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faust

from schemas.cluster import Cluster
from streams.drift.policy import InForce, PolicyFeed, Wanted
from streams.kafka import make_app
from trust import Keyring

__all__ = ["JudgeSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSettings:
    """How one worker that judges runs."""

    # Counts while no signed policy of the name that is followed does.
    policy: InForce = field(default_factory=InForce)
    follow: str = "default"
    # Without one, signed policies are not followed.
    keyring: Keyring | None = None
    instance_id: str = ""
    max_run_records: int = 2000
    cache_dir: Path | None = None
    # What time it is where nothing arrives to tell.
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000

    def app(self, cluster: Cluster, group: str, **app_settings: Any) -> faust.App:
        """Make the app of a worker in a group."""
        return make_app(
            cluster.named(group),
            cluster.bootstrap,
            instance_id=self.instance_id,
            max_run_records=self.max_run_records,
            security=cluster.security,
            **app_settings,
        )

    def policy_feed(self, cluster: Cluster) -> PolicyFeed:
        """Return what follows the policies' topic."""
        return PolicyFeed(cluster, self.follow, Wanted(self.policy, self.keyring), cache_dir=self.cache_dir)
