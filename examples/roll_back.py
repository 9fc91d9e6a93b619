"""Stop a rollout, have every device that it reached go back, and wait until they have.

CONSOLE_URL=http://127.0.0.1:8000 CONSOLE_KEY=dl_… python roll_back.py bearings-14 "hums on the floor"
"""

import os
import sys

from driftline.client import Client, calls

rollout, why = sys.argv[1:]

with Client(os.environ["CONSOLE_URL"], key=os.environ["CONSOLE_KEY"]) as console:
    console.do(calls.abort(rollout, rollback=True, why=why))
    for now in console.watch(calls.rollout(rollout)):
        print(f"{now['phase']}: {now['reason']}", flush=True)
        if now["phase"] in ("rolled_back", "aborted"):
            break
    for device in console.every(calls.rollout_devices(rollout)):
        print(f"{device['device_id']} {device['state']}, ran {device['previous_model_id']} before", flush=True)
