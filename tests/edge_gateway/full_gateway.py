"""Fills a small file system of its own under a whole gateway, and empties it again; run under `unshare --mount`."""

import importlib.util
import json
import logging
import subprocess
import sys
from pathlib import Path

from edge_gateway.config import UpdateConfig, WatchConfig, WindowConfig

folder = Path(sys.argv[1]) / "small"
folder.mkdir()
if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", folder], check=False).returncode:
    sys.exit(77)
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
sys.path.append(str(Path(__file__).parents[1]))
spec = importlib.util.spec_from_file_location("gateway_fixtures", Path(__file__).with_name("conftest.py"))
fixtures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fixtures)
foundry = fixtures.Foundry(Path(sys.argv[1]) / "foundry")
played = fixtures.Played(
    folder,
    foundry,
    windows=WindowConfig(length_s=4.0, lateness_s=0.0, checkpoint_s=1.0),
    watch=WatchConfig(bake_s=4.0, bake_windows=1, bake_decisions=3, bad_windows=1),
    updates=UpdateConfig(reserve_bytes=0, lasts_s=5.0),
)


def fill():
    with (folder / "hog").open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 1024)
        except OSError:
            pass


def run(seconds):
    before = played.gateway.decided
    played.run(seconds)
    return played.gateway.decided - before


def tell(what, **found):
    serving = played.gateway.serving
    print(json.dumps({"what": what, "serving": serving and serving.model_id, "acks": played.acks(), **found}))


played.tell(foundry.command(foundry.bundle("1"), 1))
played.tick(5)
run(20)
tell("empty")

fill()
played.tell(foundry.command(foundry.bundle("2", threshold=6.5), 2))
tell("full", decided=run(30), dropped=played.gateway.spool.depth().dropped)

fill()
played.restart()
tell("restarted", decided=run(30))

(folder / "hog").unlink()
played.tell(foundry.command(foundry.bundle("2", threshold=6.5), 2))
tell("freed", decided=run(40), dropped=played.gateway.spool.depth().dropped)
windows = [each.seq for each in played.sent("telemetry.feature-stats")]
tell("accounted", windows=windows, held=played.gateway.spool.depth().held)
