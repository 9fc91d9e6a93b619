"""A story: one rollout, told event by event, with everything that it wanted done."""

from collections.abc import Iterable

import pytest

from schemas.rollouts import AckPhase, GateResult, GateVerdict
from streams.rollouts.effects import CommandDevice
from streams.rollouts.events import Acked, DeviceJoined, GatesJudged, TimePassed
from streams.rollouts.machine import decide
from streams.rollouts.member import IN_FLIGHT
from streams.rollouts.members import Members
from streams.rollouts.plan import parse_plan
from streams.rollouts.rollout import Rollout

START_MS = 1_000_000
OLD, NEW = "bearings/1", "bearings/2"


class Story:
    """Tells a rollout what happens, and remembers what it answered."""

    def __init__(self, document, stages):
        self.plan = parse_plan({"rollout": "r1", "model": NEW, **document})
        self.rollout = Rollout(plan=self.plan, members=Members())
        self.now_ms = START_MS
        self.effects = []
        for device_id, stage in stages.items():
            # Names sort as the ring does, so that a reader knows whose turn is next.
            position = (list(stages).index(device_id) + 0.5) / len(stages)
            self.tell(DeviceJoined(device_id, self.now_ms, stage=stage, position=position, previous=OLD))

    def tell(self, event):
        """Return what the rollout wants done about one event."""
        self.rollout, effects = decide(self.rollout, event)
        self.effects += effects
        return effects

    def begin(self):
        self.tell(TimePassed(self.now_ms))
        return self

    def wait(self, seconds):
        self.now_ms += int(seconds * 1_000)
        return self.tell(TimePassed(self.now_ms))

    def ack(self, device_id, *phases, reason=""):
        for phase in phases:
            self.tell(Acked(device_id, AckPhase(phase), self.now_ms, reason))
        return self

    def all_succeed(self, devices: Iterable[str] | None = None):
        for device_id in devices if devices is not None else self.in_flight():
            self.ack(device_id, "succeeded")
        return self

    def judge(self, **verdicts):
        """Tell what the gates say, such as drift="pass"."""
        results = tuple(
            GateResult(gate=gate, verdict=GateVerdict(verdict), reason=f"it says {verdict}")
            for gate, verdict in verdicts.items()
        )
        self.tell(GatesJudged(results, self.now_ms))
        return self

    @property
    def phase(self):
        return self.rollout.phase.value

    def state(self, device_id):
        return self.rollout.members.member(self.rollout.members.row(device_id)).state.name.lower()

    def in_flight(self):
        return [member.device_id for member in self.rollout.members if member.state in IN_FLIGHT]

    def commands(self, device_id=None):
        """Return (device, model) of every command so far, or the models of one device's."""
        given = [(effect.device_id, effect.model) for effect in self.effects if isinstance(effect, CommandDevice)]
        return given if device_id is None else [model for device, model in given if device == device_id]

    def of(self, kind):
        return [effect for effect in self.effects if isinstance(effect, kind)]


@pytest.fixture
def story():
    """Make a story: `story({...plan...}, a=0, b=1)` has device a in stage 0, device b in stage 1."""

    def tell(document=None, **stages):
        return Story(document or {}, stages)

    return tell
