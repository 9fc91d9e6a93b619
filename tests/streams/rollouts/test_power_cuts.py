"""A controller may end between any two steps of a rollout: its successor goes on, and nobody is told twice.

The world around it is played with its topics and its offsets: what a turn decided is there whole with the offset of
what it read, or not at all. Each run ends the controller at another transaction, just before or just after it.
"""

import pytest
from rollout_records import ack_of, asked, heartbeat, release

from schemas.release import ModelRelease
from streams.rollouts.controller import Controller, ControllerOptions
from streams.rollouts.restore import Published, restore

OPTIONS = ControllerOptions(default_plan=None)
DEVICES = ("a", "b", "c", "d")
LIMITS = {"bake_s": 3, "device_bake_s": 1, "retries": 0, "concurrency": 2, "timeout_s": 600}
STATE = ("fleet.devices", "rollouts.plans", "rollouts.status", "rollouts.devices", "drift.alerts")
ENDS = ("succeeded", "rolled_back")


class World:
    """Devices that answer, topics that keep, and one controller at a time."""

    def __init__(self, plan, *, sick=(), cut=0, before=False):
        self.sick, self.cut, self.before = sick, cut, before
        self.now_ms = 1_000_000
        document = {**plan, "rollout": "r1", "model": "bearings/2"}
        self.log = [
            *map(release, ("bearings/1", "bearings/2")),
            *map(heartbeat, DEVICES),
            asked("rollout/r1", "start", {"document": document}),
        ]
        self.offset = 0
        self.transactions = 0
        self.topics = {topic: {} for topic in (*STATE, "rollouts.commands")}
        self.audit = []
        self.obeyed = {device_id: [] for device_id in DEVICES}
        self.controller = Controller(OPTIONS)
        self.cuts = 0

    def play(self, turns=120):
        for _ in range(turns):
            self.now_ms += 1_000
            self.turn()
            status = self.topics["rollouts.status"].get("r1")
            if status is not None and status.phase.value in ENDS and self.offset == len(self.log):
                break
        return self

    def turn(self):
        """Read a record, if there is one; decide; write all that follows with its offset, or lose all of it."""
        read = self.log[self.offset : self.offset + 1]
        for record in read:
            self.controller.digest(record, self.now_ms)
        more = True
        while more:
            more = self.controller.pass_time(self.now_ms)
            writes = self.controller.take_writes({})
            if not writes and not read:
                continue
            self.transactions += 1
            now = self.transactions == self.cut
            if now and self.before:
                self.succeed()
                return
            self.commit(writes, len(read))
            read = []
            if now:
                self.succeed()
                return

    def commit(self, writes, count):
        self.offset += count
        for write in writes:
            if write.topic == "audit.log":
                self.audit.append((write.record.subject, write.record.action, write.record.who))
            elif write.record is None:
                self.topics[write.topic].pop(write.key, None)
            else:
                self.topics[write.topic][write.key] = write.record
        for command in [write.record for write in writes if write.topic == "rollouts.commands" and write.record]:
            self.obey(command)

    def obey(self, command):
        later = command.settings.get("activate") == "later"
        self.obeyed[command.device_id].append((command.revision, command.model_id, later))
        bad = command.device_id in self.sick and command.model_id == "bearings/2"
        ends = "fell_back" if bad else "installed" if later else "succeeded"
        self.log += [ack_of(command.device_id, command.revision, phase) for phase in ("received", ends)]

    def succeed(self):
        self.cuts += 1
        self.controller = Controller(OPTIONS)
        published = Published(
            devices=self.topics["fleet.devices"].values(),
            plans=self.topics["rollouts.plans"].values(),
            statuses=self.topics["rollouts.status"],
            rows=self.topics["rollouts.devices"].values(),
            releases=[record for record in self.log[: self.offset] if isinstance(record, ModelRelease)],
            alerts=self.topics["drift.alerts"].values(),
        )
        restore(self.controller, published, now_ms=self.now_ms)

    def came_to(self):
        status = self.topics["rollouts.status"]["r1"]
        rows = {key: record.state.value for key, record in self.topics["rollouts.devices"].items()}
        return {
            "phase": status.phase.value,
            "devices": dict(status.devices),
            "rows": rows,
            "obeyed": self.obeyed,
            "audit": self.audit,
        }


BLUE_GREEN = {"strategy": "blue-green", "limits": LIMITS}
CANARY = {"strategy": {"kind": "canary", "percent": [25, 100]}, "limits": LIMITS}


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(
    ("plan", "sick", "ends"),
    [
        pytest.param(BLUE_GREEN, (), "succeeded", id="install everywhere, switch at once"),
        pytest.param(CANARY, (), "succeeded", id="canary"),
        pytest.param({**CANARY, "limits": {**LIMITS, "failure_threshold": 0.1}}, ("b", "d"), "rolled_back", id="bad"),
    ],
)
def test_power_may_fail_at_every_transaction(plan, sick, ends, before):
    whole = World(plan, sick=sick).play()
    assert (whole.came_to()["phase"], whole.cuts) == (ends, 0)

    for cut in range(1, whole.transactions + 1):
        found = World(plan, sick=sick, cut=cut, before=before).play()

        assert found.cuts == 1
        assert found.came_to() == whole.came_to(), f"cut {cut}"


def test_blue_green_tells_each_device_to_install_and_then_to_switch():
    found = World(BLUE_GREEN).play().came_to()

    assert found["obeyed"] == {device_id: [(1, "bearings/2", True), (2, "bearings/2", False)] for device_id in DEVICES}
