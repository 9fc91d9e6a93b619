"""Have a model trained on what the fleet saw lately, follow it, and name the release that comes of it.

CONSOLE_URL=http://127.0.0.1:8000 CONSOLE_KEY=dl_… python retrain.py bearings machine/1
"""

import os
import sys

from driftline.client import Client, calls

model, pipeline = sys.argv[1:]

with Client(os.environ["CONSOLE_URL"], key=os.environ["CONSOLE_KEY"]) as console:
    asked = console.do(calls.train(model, pipeline=pipeline, days=7, why="an example"))
    for now in console.watch(calls.training(asked["request_id"])):
        print(f"{now['state']}: {now['news'] or now['reason']}", flush=True)
        if now["state"] in ("finished", "failed", "cancelled", "superseded"):
            break
    for release in console.every(calls.models()):
        if release["request_id"] == asked["request_id"]:
            print(f"{release['model']}/{release['version']} is in {release['stage']}", flush=True)
    sys.exit(now["state"] != "finished")
