"""What a new stack of containers needs once: keys that nobody else has, the topics, and their schemas.

Run again, after a run that was cut short too, it makes only what is missing.
"""

import json
import subprocess
import sys
from pathlib import Path

KEYS = Path("/keys")
KEYRING = Path("/trust/keyring.json")
SIGNERS = {"trainer": "manifest", "controller": "command", "operator": "policy"}


def driftline(*arguments: str) -> None:
    command = ["driftline", *arguments]
    print(" ".join(command), flush=True)
    code = subprocess.run(command, check=False).returncode  # noqa: S603 - no shell, and the arguments are ours
    if code != 0:
        sys.exit(code)


def pinned() -> set[str]:
    return {key["name"] for key in json.loads(KEYRING.read_text())["keys"]} if KEYRING.exists() else set()


def make_keys() -> None:
    trusted = pinned()
    for name, may_sign in SIGNERS.items():
        key = KEYS / name / "key.pem"
        if not key.exists():
            driftline("keys", "make", str(key))
        if name not in trusted:
            driftline("keys", "pin", name, "--key", f"file:{key}", "--may-sign", may_sign, "--keyring", str(KEYRING))


make_keys()
driftline("topics", "create")
driftline("schemas", "register")
