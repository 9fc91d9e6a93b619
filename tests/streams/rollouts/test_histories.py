"""Random histories of a controller: whatever comes, in whatever order, what must hold holds."""

from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from rollout_records import ack_of, asked, heartbeat, release

from schemas.fleet import DeviceState
from schemas.rollouts import AckPhase, Command, GateResult, GateVerdict, RolloutPhase
from streams.rollouts.controller import Controller, ControllerOptions
from streams.rollouts.events import Acked, DeviceJoined, GatesJudged, TimePassed
from streams.rollouts.machine import decide
from streams.rollouts.member import IN_FLIGHT, State
from streams.rollouts.plan import parse_plan
from streams.rollouts.restore import Published, restore
from streams.rollouts.rings import NO_STAGE
from streams.rollouts.rollout import LIVE, SETTLED, Rollout

# A settled rollout is put away soon, so that histories see it go.
OPTIONS = ControllerOptions(default_plan=None, judge_every_ms=10**12, keep_settled_ms=1_500_000)
DEVICES = [f"d{number}" for number in range(8)]
VERSIONS = ["bearings/1", "bearings/2", "bearings/3", "other/1"]
STRATEGIES = [
    *({"kind": "canary", "percent": percent} for percent in ([100], [25, 100], [1, 50, 100])),
    # Some are in no ring, and whoever is labelled anew may come into one or out of it.
    {"kind": "rings", "rings": [{"name": "lab", "where": "hw:rev2"}, {"name": "half", "percent": 50}]},
    "blue-green",
]
COMPACTED = {"rollouts.plans", "rollouts.status", "rollouts.devices", "fleet.devices", "drift.alerts"}


def beat(device_id):
    return heartbeat(device_id, "bearings/0", pipelines=(), labels={"hw": "rev2" if device_id < "d4" else "rev3"})


class Histories(RuleBasedStateMachine):
    """A controller with devices that answer, or not, or twice, or late; and a controller that dies at times."""

    def __init__(self):
        super().__init__()
        self.now_ms = 1_000_000
        self.controller = Controller(OPTIONS)
        self.topics = defaultdict(dict)
        self.releases = [release(model_id, pipeline="p/1") for model_id in VERSIONS]
        self.commands = {}
        self.answers = []
        self.ended = {}
        self.plans = 0
        self.requests = 0
        self.absent = set()
        # Of rollouts that are tried again: the revisions that were under way when they were left.
        self.left_with = defaultdict(dict)

    @initialize()
    def begin(self):
        for released in self.releases:
            self.controller.digest(released, self.now_ms)
        for device_id in DEVICES:
            self.controller.digest(beat(device_id), self.now_ms)
        self.turn()

    # ---- what happens ----

    @rule(
        model=st.sampled_from(VERSIONS),
        strategy=st.sampled_from(STRATEGIES),
        concurrency=st.sampled_from([0, 1, 3]),
        failure_threshold=st.sampled_from([0.0, 0.3, 1.0]),
        retries=st.integers(0, 1),
        gated=st.booleans(),
        quarantine=st.booleans(),
        priority=st.integers(0, 1),
        cohort=st.sampled_from(["all", "hw:rev2", "not hw:rev2"]),
        chosen=st.sampled_from([{}, {"min_devices": 3}, {"stratify": ["hw"]}]),
    )
    def start(
        self, model, strategy, concurrency, failure_threshold, retries, gated, quarantine, priority, cohort, chosen
    ):
        self.plans += 1
        document = {
            "rollout": f"r{self.plans}",
            "model": model,
            "cohort": cohort,
            "priority": priority,
            "strategy": strategy,
            "limits": {
                "bake_s": 60,
                "concurrency": concurrency,
                "failure_threshold": failure_threshold,
                "retries": retries,
                "timeout_s": 300,
                "deadline_s": 5_000,
                "offline_share": 0.3,
                "min_devices": chosen.get("min_devices", 0),
            },
            "stratify": chosen.get("stratify", []),
            **({"gates": {"drift": {}}} if gated else {}),
            **({"quarantine": {"min_failures": 2}} if quarantine else {}),
        }
        self.controller.submit(document, who="eve", why="", now_ms=self.now_ms)
        self.turn()

    @precondition(lambda self: self.answers)
    @rule(data=st.data(), again=st.booleans())
    def an_answer_arrives(self, data, again):
        """In any order, and perhaps once more later."""
        place = data.draw(st.integers(0, len(self.answers) - 1))
        ack = self.answers[place] if again else self.answers.pop(place)
        self.controller.digest(ack, self.now_ms)
        self.turn()

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def an_answer_is_lost(self, data):
        self.answers.pop(data.draw(st.integers(0, len(self.answers) - 1)))

    @rule(seconds=st.sampled_from([1, 61, 301, 1_000]))
    def time_passes(self, seconds):
        self.now_ms += seconds * 1_000
        self.turn()

    @rule(device_id=st.sampled_from(DEVICES))
    def a_heartbeat_arrives(self, device_id):
        self.controller.digest(beat(device_id), self.now_ms)
        self.turn()

    @precondition(lambda self: self.controller.rollouts)
    @rule(data=st.data(), verdict=st.sampled_from(list(GateVerdict)))
    def a_gate_says(self, data, verdict):
        rollout_id = data.draw(st.sampled_from(sorted(self.controller.rollouts)))
        results = (GateResult(gate="drift", verdict=verdict, reason=""),)
        self.controller.rollouts.tell(rollout_id, GatesJudged(results, self.now_ms))
        self.turn()

    @precondition(lambda self: self.controller.rollouts)
    @rule(
        data=st.data(),
        action=st.sampled_from(
            ["pause", "resume", "promote", "skip-bake", "approve", "abort", "cancel", "retry", "retry", "lift"]
        ),
        flag=st.booleans(),
    )
    def somebody_asks(self, data, action, flag):
        rollout_id = data.draw(st.sampled_from(sorted(self.controller.rollouts)))
        apart = sorted(self.controller.rollouts[rollout_id].quarantined)
        lifted = {"trait": data.draw(st.sampled_from(apart)) if apart else "hw=rev1"}
        by_action = {"promote": {"full": str(flag)}, "abort": {"rollback": str(flag)}, "lift": lifted}
        arguments = by_action.get(action, {})
        if action == "retry" and self.controller.rollouts[rollout_id].phase is RolloutPhase.ABORTED:
            self.ended.pop(rollout_id, None)
            self.left_with[rollout_id] = {
                member.device_id: self.commands[member.device_id]
                for member in self.controller.rollouts[rollout_id].members
                if member.state in (*IN_FLIGHT, State.ABSENT)
            }
        self.ask(f"rollout/{rollout_id}", action, arguments)

    @rule(
        device_id=st.sampled_from(DEVICES),
        action=st.sampled_from(["revoke", "register", "label"]),
        hw=st.sampled_from(["rev2", "rev3", "rev9"]),
    )
    def somebody_asks_of_a_device(self, device_id, action, hw):
        self.ask(f"device/{device_id}", action, {"hw": hw} if action == "label" else {})

    @rule()
    def the_controller_dies(self):
        """Its successor knows what was written, and stands where it stood."""
        before = self.standing()
        self.controller = Controller(OPTIONS)
        restore(
            self.controller,
            Published(
                devices=self.topics["fleet.devices"].values(),
                plans=self.topics["rollouts.plans"].values(),
                statuses=self.topics["rollouts.status"],
                rows=self.topics["rollouts.devices"].values(),
                releases=self.releases,
                alerts=self.topics["drift.alerts"].values(),
            ),
            now_ms=self.now_ms,
        )
        after = self.standing()
        assert {
            key: (before.get(key), after.get(key)) for key in before | after if before.get(key) != after.get(key)
        } == {}

    # ---- what must hold ----

    @invariant()
    def no_device_has_two_live_commands(self):
        awaited = defaultdict(list)
        for rollout_id, rollout in self.controller.rollouts.items():
            for member in rollout.members:
                if member.state in (*IN_FLIGHT, State.RETURNING):
                    awaited[member.device_id].append(rollout_id)
        assert all(len(rollouts) == 1 for rollouts in awaited.values()), awaited

    @invariant()
    def no_more_devices_than_the_stage_allows(self):
        for rollout in self.controller.rollouts.values():
            flying = [member for member in rollout.members if member.state in IN_FLIGHT]
            name = rollout.plan.rollout_id
            self.absent |= {(name, member.device_id) for member in rollout.members if member.state == State.ABSENT}
            # An absentee's command stands; when it returns, that is nobody's new command.
            commanded = [member for member in flying if (name, member.device_id) not in self.absent]
            if rollout.phase in LIVE and rollout.concurrency():
                assert len(commanded) <= rollout.concurrency()
            for member in flying if rollout.phase in LIVE else ():
                # What was left under way by an abort cannot be unsent; whoever is told anew has to be of the stage.
                told_since = self.left_with[name].get(member.device_id) != self.commands[member.device_id]
                assert member.stage <= rollout.stage or not told_since

    @invariant()
    def counts_agree_with_the_devices(self):
        for rollout in self.controller.rollouts.values():
            counted = defaultdict(int)
            for member in rollout.members:
                counted[member.state.published.value] += 1
            assert rollout.members.totals() == counted

    @invariant()
    def a_settled_rollout_stays_settled(self):
        for rollout_id, rollout in self.controller.rollouts.items():
            assert self.ended.get(rollout_id, rollout.phase) is rollout.phase
            if rollout.phase in SETTLED:
                self.ended[rollout_id] = rollout.phase

    @invariant()
    def no_rollout_goes_on_with_more_failures_than_allowed(self):
        for rollout in self.controller.rollouts.values():
            if rollout.phase not in LIVE:
                continue
            for number in range(rollout.stage + 1):
                here = [member for member in rollout.members if member.stage == number]
                counted = [
                    member for member in here if member.state not in (State.LEFT, State.SUPERSEDED, State.QUARANTINED)
                ]
                failed = [member for member in counted if member.state in (State.FAILED, State.TIMED_OUT)]
                assert len(failed) <= rollout.plan.stages[number].failure_threshold * len(counted)

    def teardown(self):
        """Every rollout ends, though nobody answers any more."""
        for _ in range(40):
            self.now_ms += 600_000
            self.turn()
        left_open = {
            name: (rollout.phase, [member for member in rollout.members if member.stage != NO_STAGE])
            for name, rollout in self.controller.rollouts.items()
            if rollout.phase not in SETTLED
        }
        # Who waits for a first device has not begun.
        assert all(
            phase is RolloutPhase.SCHEDULED and {member.state for member in taken} <= {State.LEFT, State.SUPERSEDED}
            for phase, taken in left_open.values()
        ), left_open

    # ---- the world around it ----

    def turn(self):
        # No two things happen in one moment; else nobody could tell which came first.
        self.now_ms += 1
        more = True
        while more:
            more = self.controller.pass_time(self.now_ms)
            for write in self.controller.take_writes({}):
                if write.topic == "rollouts.commands":
                    self.command(write.key, write.record)
                elif write.topic in COMPACTED and write.record is None:
                    del self.topics[write.topic][write.key]
                elif write.topic in COMPACTED:
                    self.topics[write.topic][write.key] = write.record

    def command(self, device_id, command):
        if command is None:
            return
        assert isinstance(command, Command)
        newest = self.commands.get(device_id)
        assert newest is None or command.revision > newest, "revisions rise"
        assert self.controller.fleet.get(device_id).state is not DeviceState.REVOKED
        self.commands[device_id] = command.revision
        ending = [AckPhase.SUCCEEDED, AckPhase.FAILED, AckPhase.FELL_BACK, AckPhase.REFUSED][command.revision % 4 // 2]
        for phase in (AckPhase.RECEIVED, AckPhase.TRIAL, ending, AckPhase.FELL_BACK)[: 3 + command.revision % 5 // 4]:
            self.answers.append(ack_of(device_id, command.revision, phase, command.rollout_id))

    def ask(self, subject, action, arguments):
        self.requests += 1
        request_id = f"00000000-0000-4000-8000-{self.requests:012d}"
        self.controller.digest(asked(subject, action, arguments, request_id=request_id), self.now_ms)
        self.turn()

    def standing(self):
        """What must be the same after a restart, piece by piece, so that a difference shows."""
        pieces = {}
        for rollout_id, rollout in self.controller.rollouts.items():
            for name in (
                "phase",
                "stage",
                "reason",
                "bake_ms",
                "accepted",
                "paused_for",
                "quarantined",
                "lifted",
                "pace",
                "gates",
            ):
                pieces[rollout_id, name] = getattr(rollout, name)
            # Who would by now belong to a rollout that is over is nobody's concern.
            concerned = rollout.phase not in SETTLED or rollout.phase is RolloutPhase.SUCCEEDED
            for member in rollout.members if concerned else ():
                pieces[rollout_id, member.device_id] = (member.state.name, member.stage, member.attempts)
        return pieces


COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck)}
# Hundreds of histories take a minute of processor time, and more on a busy machine.
TestHistories = pytest.mark.timeout(900)(Histories.TestCase)
TestHistories.settings = settings(max_examples=200, stateful_step_count=25, **COMMON)


class NightlyHistories(Histories):
    pass


TestNightlyHistories = pytest.mark.timeout(3_600)(pytest.mark.nightly(NightlyHistories.TestCase))
TestNightlyHistories.settings = settings(max_examples=10_000, stateful_step_count=30, **COMMON)


@given(
    outcomes=st.lists(st.sampled_from(["succeeded", "failed", "fell_back", "refused"]), min_size=2, max_size=6),
    threshold=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    data=st.data(),
)
@settings(max_examples=100, deadline=None)
def test_the_outcome_does_not_depend_on_the_order_of_concurrent_reports(outcomes, threshold, data):
    order = data.draw(st.permutations(range(len(outcomes))))

    straight, shuffled = (told(outcomes, threshold, places) for places in (range(len(outcomes)), order))

    assert straight == shuffled


def told(outcomes, threshold, places):
    limits = {"failure_threshold": threshold, "success_threshold": 0.5, "retries": 0, "concurrency": 10}
    plan = parse_plan({"rollout": "r1", "model": "m/2", "strategy": "all-at-once", "limits": limits})
    rollout = Rollout(plan=plan)
    for number in range(len(outcomes)):
        rollout, _ = decide(rollout, DeviceJoined(f"d{number}", 0, stage=0, previous="m/1"))
    rollout, _ = decide(rollout, TimePassed(0))
    for number in places:
        # Reports on the command to go back are not these: a device in return hears no more of the old one.
        row = rollout.members.row(f"d{number}")
        if rollout.members.state(row) != State.RETURNING:
            rollout, _ = decide(rollout, Acked(f"d{number}", AckPhase(outcomes[number]), 1))
    going_back = {member.device_id for member in rollout.members if member.state == State.RETURNING}
    states = {member.device_id: member.state for member in rollout.members} if not going_back else {}
    return rollout.phase, going_back, states
