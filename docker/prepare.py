"""What a new stack of containers needs once: keys that nobody else has, the topics, and their schemas.

Run again, it finds everything in its place and changes nothing.
"""

import subprocess
import sys
from pathlib import Path

KEYS = Path("/keys")
SIGNERS = {"trainer": "manifest", "controller": "command", "operator": "policy"}


def driftline(*arguments: str) -> None:
    command = ["driftline", *arguments]
    print(" ".join(command), flush=True)
    code = subprocess.run(command, check=False).returncode  # noqa: S603 - no shell, and the arguments are ours
    if code != 0:
        sys.exit(code)


def make_keys() -> None:
    keyring = KEYS / "keyring.json"
    for name, may_sign in SIGNERS.items():
        key = KEYS / f"{name}.pem"
        if not key.exists():
            driftline("keys", "make", str(key))
            driftline("keys", "pin", name, "--key", f"file:{key}", "--may-sign", may_sign, "--keyring", str(keyring))
    # Gateways read it, and run as another container's user.
    keyring.chmod(0o644)


make_keys()
driftline("topics", "create")
driftline("schemas", "register")
