"""One stage of a plan: who it takes, at which pace, and when it counts as passed."""

from dataclasses import dataclass
from typing import Annotated

from streams.rollouts.documents import AtLeast, Devices, OneOf, Seconds, Share

__all__ = ["Rate", "Stage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How many devices a minute are commanded: base x factor^(succeeded // per), at most `max_per_minute`."""

    base_per_minute: Annotated[float, AtLeast(0.001, 1e9)]
    factor: Annotated[float, AtLeast(1, 1e3)] = 1.0
    per: Annotated[int, AtLeast(1)] = 1
    max_per_minute: Annotated[float, AtLeast(0.001, 1e9)] = 60_000.0

    def per_minute(self, succeeded: int) -> float:
        """Return the rate once so many devices have succeeded.

        >>> Rate(base_per_minute=10.0, factor=2.0, per=5).per_minute(11)
        40.0
        """
        try:
            return min(self.base_per_minute * self.factor ** (succeeded // self.per), self.max_per_minute)
        except OverflowError:
            return self.max_per_minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage; durations in seconds, shares from 0 to 1."""

    name: str = ""
    # Which share of the cohort it takes, earlier stages counted; or, instead, an expression over labels.
    share: Share | None = None
    where: str = ""
    # run: install and switch; install: keep it warm in the other slot; switch: to what was installed.
    action: Annotated[str, OneOf(("run", "install", "switch"))] = "run"
    min_devices: Devices = 0
    bake_s: Seconds = 600.0
    # Passed when at least this share succeeded; failed when strictly more than that share failed.
    success_threshold: Share = 0.9
    failure_threshold: Share = 0.1
    # Commanded and not settled at one time; 0: as many as the stage takes, or 5 in cohorts of up to 100.
    concurrency: Devices = 0
    # So many at once, and the next ones when all are settled and `batch_delay_s` has passed; 0: no batches.
    batch: Devices = 0
    batch_delay_s: Seconds = 0.0
    rate: Rate | None = None
    timeout_s: Annotated[float, AtLeast(1, 1e9)] = 1_800.0
    retries: Annotated[int, AtLeast(0, 20)] = 2
    # Before the first retry; doubled for each further one.
    backoff_s: Seconds = 30.0
    approval: bool = False
    # Device time, HH:MM-HH:MM and perhaps a zone; the gateway waits for it. In a plan, `true` is 02:00-04:00.
    window: str = ""
    # How long undecided gates and absent devices are waited for before the rollout pauses.
    patience_s: Seconds = 3_600.0
