"""Bring a model to a part of the fleet, a tenth first, and wait for the end; exit 1 unless it succeeded.

CONSOLE_URL=http://127.0.0.1:8000 CONSOLE_KEY=dl_… python roll_out.py bearings/14 "site = 'north'"
"""

import os
import sys

from driftline.client import Client, calls

model, cohort = sys.argv[1:]
rollout = model.replace("/", "-")
plan = {
    "rollout": rollout,
    "model": model,
    "cohort": cohort,
    "strategy": {"kind": "canary", "percent": [10, 100]},
    "limits": {"bake_s": float(os.environ.get("BAKE_S", "600"))},
}

with Client(os.environ["CONSOLE_URL"], key=os.environ["CONSOLE_KEY"]) as console:
    for stage in console.do(calls.foresee(plan))["stages"]:
        print(f"{stage['stage']}: {len(stage['devices'])} devices, {stage['offline']} of them offline", flush=True)
    console.do(calls.start_rollout(plan, why="an example"))
    for now in console.watch(calls.rollout(rollout)):
        print(f"{now['phase']}, {now['devices'].get('succeeded', 0)} succeeded: {now['reason']}", flush=True)
        if now["phase"] in ("succeeded", "rolled_back", "aborted", "superseded", "cancelled"):
            sys.exit(now["phase"] != "succeeded")
