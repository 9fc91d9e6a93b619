"""Cuts the power of a gateway at every step of an update in turn, and tells what it found afterwards.

Each cut is a child process that ends at once (`os._exit`) just before its n-th change of the disk: nothing is flushed,
no handler runs, no lock is released. Another child then starts the gateway anew on what lies there. One line of JSON
is printed for each cut.
"""

import importlib.util
import json
import os
import shutil
import sys
import traceback
from pathlib import Path

import edge_gateway.spool
from edge_gateway.config import WatchConfig, WindowConfig

_CUT = 9
_FAILED = 3
_CHANGES = {"os.rename", "os.link", "os.remove", "os.truncate", "os.mkdir"}


def main(folder: Path, scenario: str) -> None:
    sys.path.append(str(Path(__file__).parents[1]))
    spec = importlib.util.spec_from_file_location("gateway_fixtures", Path(__file__).with_name("conftest.py"))
    fixtures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fixtures)
    foundry = fixtures.Foundry(folder / "foundry")
    orders = {
        "update": [foundry.command(foundry.bundle("2", threshold=6.5), 2)],
        "fall back": [foundry.command(foundry.bundle("3", sick=True), 2)],
        "superseded": [
            foundry.command(foundry.bundle("2", threshold=6.5), 2),
            foundry.command(foundry.bundle("4", threshold=7.0), 3),
        ],
        "back": [foundry.command(foundry.bundle("0", threshold=8.0), 2)],
        "later": [later(foundry)],
        "switch": [foundry.command(foundry.bundle("2", threshold=6.5), 3)],
    }[scenario]
    base = folder / "base"
    in_child(lambda: prepare(fixtures, foundry, base, scenario))
    cut = 0
    while True:
        cut += 1
        work = folder / f"cut-{cut}"
        shutil.copytree(base, work)
        status = in_child(lambda work=work, cut=cut: update(fixtures, foundry, work, orders, cut))
        print(
            json.dumps({"cut": cut, "happened": status == _CUT, **recover(fixtures, foundry, work, orders)}), flush=True
        )
        shutil.rmtree(work)
        if status == 0:
            return


def gateway_in(fixtures, foundry, folder, after_s=0):
    return fixtures.Played(
        folder,
        foundry,
        after_s=after_s,
        windows=WindowConfig(length_s=4.0, lateness_s=0.0, checkpoint_s=1000.0),
        watch=WatchConfig(bake_s=4.0, bake_windows=1, bake_decisions=3, bad_windows=1),
        heartbeat_s=3600.0,
    )


def later(foundry):
    return foundry.command(foundry.bundle("2", threshold=6.5), 2, settings={"activate": "later"})


def prepare(fixtures, foundry, base, scenario):
    played = gateway_in(fixtures, foundry, base)
    if scenario == "back":
        played.tell(foundry.command(foundry.bundle("0", threshold=8.0), 0))
        settle(played)
    played.tell(foundry.command(foundry.bundle("1"), 1))
    settle(played)
    assert played.acks()[-1] == (1, "succeeded"), played.acks()
    if scenario == "switch":
        played.tell(later(foundry))
        settle(played)
        assert played.acks()[-1] == (2, "installed"), played.acks()
    played.gateway.stop(played.now_ms)


def update(fixtures, foundry, work, orders, cut):
    arm(work, cut)
    played = gateway_in(fixtures, foundry, work, after_s=1000)
    for order in orders:
        played.tell(order)
        played.tick(2)
    settle(played)
    played.gateway.stop(played.now_ms)


def settle(played):
    played.tick(5)
    played.run(14)


def recover(fixtures, foundry, work, orders):
    report = work / "report.json"

    def look():
        played = gateway_in(fixtures, foundry, work, after_s=2000)
        found = {"serving_at_once": played.gateway.serving.model_id, "active": played.gateway.slots.installation.active}
        # What was not taken up for good is still on the topic.
        for order in orders:
            played.tell(order)
        settle(played)
        installation = played.gateway.slots.installation
        acks = played.sent("rollouts.acks")
        found |= {
            "serving": installation.model_id,
            "states": {name: content.state for name, content in installation.slots.items()},
            "acks": [[ack.revision, ack.phase] for ack in acks],
            "seqs": [ack.seq for ack in acks],
            "windows": [each.seq for each in played.sent("telemetry.feature-stats")],
        }
        report.write_text(json.dumps(found))

    status = in_child(look)
    return json.loads(report.read_text()) if status == 0 else {"error": status}


def arm(work, cut):
    """End this process just before its n-th change of the disk below `work`."""
    left = cut
    beginning = str(work)

    def step():
        nonlocal left
        left -= 1
        if left == 0:
            os._exit(_CUT)

    def hook(event, arguments):
        if event == "open":
            path, _mode, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and str(path).startswith(beginning):
                step()
        elif event in _CHANGES and str(arguments[0]).startswith(beginning):
            step()

    sys.addaudithook(hook)
    transact = edge_gateway.spool.Spool._transact

    def cut_transaction(self, build):
        step()
        transact(self, build)
        step()

    edge_gateway.spool.Spool._transact = cut_transaction


def in_child(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - nothing may leave the child but its status
            traceback.print_exc()
            os._exit(_FAILED)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
