"""A gateway without a network keeps all that it makes, and sends it when the network is back.

driftline up && python offline_and_back.py
"""

import json
import subprocess
import sys

GATEWAY = [sys.executable, "-m", "driftline", "gateway"]
AS = ["--device-id", "press-7", "--data", "press-7"]


def waiting() -> int:
    shown = subprocess.run([*GATEWAY, "spool", *AS, "--json"], check=True, capture_output=True, text=True)
    return json.loads(shown.stdout)["records"]


subprocess.run([*GATEWAY, "run", *AS, "--offline", "--duration", "8"], check=True)
print(f"offline: {waiting()} records wait", flush=True)
subprocess.run([*GATEWAY, "run", *AS, "--duration", "8"], check=True)
print(f"online again: {waiting()} records wait", flush=True)
