"""Controllers that end or freeze at a chosen step of a transaction, over real Kafka: whoever follows goes on alike."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import PATIENCE_S
from rollout_field import NEW, Field

from schemas import feeds
from schemas.release import ReleaseStage

ROOT = Path(__file__).parents[3]
# A controller as the worker runs it, but that it ends or freezes itself where a file in its folder says so.
CONTROLLER = """
import os, signal, sys, threading, time
from pathlib import Path
from confluent_kafka import Producer
from schemas.cluster import Cluster
from streams.rollouts import ledger
from streams.rollouts.service import RolloutService, ServiceOptions
from trust import load_signer

bootstrap, registry, prefix, key, folder = sys.argv[1:]

def reached(step):
    for order in sorted(Path(folder).glob(f"*-{step}")):
        order.unlink()
        os.kill(os.getpid(), signal.SIGKILL if order.name.startswith("kill") else signal.SIGSTOP)

class Ending(Producer):
    def begin_transaction(self):
        super().begin_transaction()
        reached("begun")

    def produce(self, *args, **kwargs):
        super().produce(*args, **kwargs)
        if list(Path(folder).glob("*-produced")):
            # The broker has it, and nobody may ever see it.
            self.flush(60)
            reached("produced")

    def send_offsets_to_transaction(self, *args):
        super().send_offsets_to_transaction(*args)
        reached("offsets")

    def commit_transaction(self, *args):
        reached("uncommitted")
        super().commit_transaction(*args)
        reached("committed")

ledger.Producer = Ending
cluster = Cluster(bootstrap=bootstrap, registry_url=registry, prefix=prefix)
service = RolloutService(cluster, [load_signer(f"file:{key}", environ={})], ServiceOptions(turn_s=0.05))

def say():
    while service.waiting():
        time.sleep(0.05)
    print("leads or could", flush=True)

threading.Thread(target=say, daemon=True).start()
service.run()
"""


class Controllers:
    """Controllers as processes: one leads, and at least as many stand by as are about to end."""

    def __init__(self, field, folder):
        self._field, self._folder = field, folder
        self._running = []

    def start(self, count=1):
        """Start so many, and wait until each leads or could."""
        cluster = self._field.cluster
        command = [sys.executable, "-c", CONTROLLER, cluster.bootstrap, cluster.registry_url, cluster.prefix]
        command += [str(self._field.key), str(self._folder)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        new = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(count)]
        self._running += new
        for process in new:
            assert process.stdout.readline() == "leads or could\n"

    def trouble(self, *orders):
        """Have the leader, and then its successors, end or freeze at these steps; give who leads then, and how soon."""
        before = self._field.leader()
        for number, order in enumerate(orders):
            how, step = order.split("-")
            # One after the other: the second is for whoever follows the first.
            (self._folder / f"{how}{number}-{step}").touch()
            self._field.wait_for(lambda: not list(self._folder.glob("*-*")))
        troubled_at = time.monotonic()
        after = self._field.wait_for(lambda: (who := self._field.leader()) != before and who)
        return after, time.monotonic() - troubled_at

    def wake(self):
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)

    def end(self):
        for process in self._running:
            process.kill()
            process.wait(PATIENCE_S)
            process.stdout.close()


@pytest.fixture
def controllers(field, tmp_path):
    (tmp_path / "orders").mkdir()
    controllers = Controllers(field, tmp_path / "orders")
    yield controllers
    controllers.end()


@pytest.fixture
def field(cluster, tmp_path):
    return Field(cluster, tmp_path)


DEVICES = 72
# Longer than all the troubles take, however busy the machine is.
SLOW = {
    "rollout": "r1",
    "model": NEW,
    "strategy": "all-at-once",
    "limits": {"bake_s": 1, "concurrency": 100, "rate": {"base_per_minute": 20}},
}


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_a_controller_may_end_or_freeze_at_any_step_and_again_and_nothing_is_decided_twice(field, controllers):
    field.release("2", ReleaseStage.STAGING)
    took_s = {}
    with field.fleet(DEVICES) as fleet:
        controllers.start(2)
        field.wait_for(lambda: len(feeds.snapshot(field.cluster, "fleet.devices")) == DEVICES)
        field.start(SLOW)
        field.wait_for(lambda: fleet.models().get(NEW, 0) >= 2)
        for orders in (
            ("kill-begun",),
            ("kill-produced",),
            ("kill-offsets",),
            ("kill-uncommitted",),
            ("kill-committed",),
            ("freeze-produced",),
            ("freeze-uncommitted",),
            # The successor's own first transaction says that it leads: it is not seen either.
            ("kill-produced", "kill-uncommitted"),
        ):
            leader, took_s[orders] = controllers.trouble(*orders)
            assert field.status("r1").phase.value == "running", f"over before {orders}"
            controllers.wake()
            controllers.start(2 if orders == ("freeze-uncommitted",) else 1)
            assert field.leader() == leader
        status = field.wait_for_phase("r1", "succeeded", 300)

    assert status.devices == {"succeeded": DEVICES}
    assert fleet.refused == []
    # Nobody was told twice, and nobody's revision was given away twice.
    assert all(gateway.obeyed == [NEW] for gateway in fleet.gateways.values())
    assert {gateway.revision for gateway in fleet.gateways.values()} == {1}
    decided = [entry.action for entry in audit_of(field) if entry.subject == "rollout/r1"]
    assert len(decided) == len(set(decided)), decided
    assert decided[-1] == "succeeded"
    assert max(took_s.values()) < 10, took_s


def audit_of(field):
    with feeds.follow(field.cluster, "audit.log", from_ms=0, until_current=True) as feed:
        return [event.value for event in feed if isinstance(event, feeds.Changed)]
