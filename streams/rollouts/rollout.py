"""One rollout, as a value: its plan, where it stands, and the table of its devices."""

from dataclasses import dataclass, field

from schemas.rollouts import GateResult, GateVerdict, RolloutPhase
from streams.rollouts.members import Members
from streams.rollouts.plan import Plan
from streams.rollouts.stages import Stage

__all__ = ["LIVE", "SETTLED", "Pace", "Rollout", "usual_concurrency"]

# It goes forward, or may be sent forward.
LIVE = frozenset(
    {RolloutPhase.RUNNING, RolloutPhase.BAKING, RolloutPhase.AWAITING_APPROVAL, RolloutPhase.PAUSED},
)
SETTLED = frozenset(
    {
        RolloutPhase.SUCCEEDED,
        RolloutPhase.ROLLED_BACK,
        RolloutPhase.ABORTED,
        RolloutPhase.SUPERSEDED,
        RolloutPhase.CANCELLED,
    },
)
SMALL_FLEET = 100
SMALL_CONCURRENCY = 5


@dataclass(frozen=True, slots=True)
class Pace:
    """How far the present stage's batch or rate allows new commands."""

    batch_left: int = 0
    batches: int = 0
    # When the next batch may begin; 0: not known before the present one is settled.
    next_batch_ms: int = 0
    # Devices that the rate allows now, reckoned at `tokens_ms`; 0: not begun.
    tokens: float = 1.0
    tokens_ms: int = 0


@dataclass(frozen=True, slots=True)
class Rollout:
    """Where a rollout stands. `members` moves along from state to state: a state that was decided on is used up."""

    plan: Plan
    members: Members = field(default_factory=Members, compare=False)
    phase: RolloutPhase = RolloutPhase.SCHEDULED
    stage: int = 0
    reason: str = "waits for its start"
    changed_ms: int = 0
    started_ms: int = 0
    # When the present stage began.
    stage_ms: int = 0
    # When the present stage's bake began; 0 before.
    bake_ms: int = 0
    # Since when it only waits for absent devices; 0 while it does not.
    absent_ms: int = 0
    gates: tuple[GateResult, ...] = ()
    # Gates, as stage/name, whose being inconclusive somebody accepted.
    accepted: frozenset[str] = frozenset()
    # Gates that it is paused for, to be accepted by resuming.
    paused_for: frozenset[str] = frozenset()
    # What to go on with after the pause.
    resume_to: RolloutPhase = RolloutPhase.RUNNING
    # What rolling back ends in.
    ending: RolloutPhase = RolloutPhase.ROLLED_BACK
    # Every device that was commanded has been told to go back.
    taken_back: bool = False
    # Promoted to everybody, unwatched.
    full: bool = False
    # Traits such as "hw=rev2" that are set apart.
    quarantined: frozenset[str] = frozenset()
    # Traits that somebody let back in; they are not set apart again.
    lifted: frozenset[str] = frozenset()
    pace: Pace = Pace()

    @property
    def here(self) -> Stage:
        return self.plan.stages[self.stage]

    def stage_of(self, row: int) -> Stage:
        """Return a device's stage; one that came back and that none takes any more goes by the last one."""
        return self.plan.stages[min(self.members.stage(row), len(self.plan.stages) - 1)]

    @property
    def reached(self) -> range:
        """The stages up to the present one."""
        return range(self.stage + 1)

    def verdict(self, gate: str) -> GateVerdict:
        """Return what a gate of the plan last said; one that was never heard has no data."""
        for result in self.gates:
            if result.gate == gate:
                return result.verdict
        return GateVerdict.NO_DATA

    def gates_saying(self, *verdicts: GateVerdict) -> list[str]:
        """Return the gates of the plan whose verdict counts and is one of these."""
        return [
            gate
            for gate in self.plan.gates
            if self.verdict(gate) in verdicts and f"{self.stage}/{gate}" not in self.accepted
        ]

    def concurrency(self) -> int:
        """Return how many devices may be in flight; 0 for any number."""
        if self.here.concurrency or self.here.batch:
            return self.here.concurrency
        return usual_concurrency(len(self.members))


def usual_concurrency(devices: int) -> int:
    """Return how many of a cohort may be in flight where the plan does not say it; 0 for any number."""
    return SMALL_CONCURRENCY if devices <= SMALL_FLEET else 0
