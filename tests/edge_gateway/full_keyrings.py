"""Fills a small file system under the keyrings of a device, and empties it again; run under `unshare --mount`."""

import json
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from edge_gateway.config import UpdateConfig
from edge_gateway.keyring_fetch import KeyringFetch
from edge_gateway.trusted import Trusted
from trust import Keyring, Kind, admit, load_signer, make_key, pin, seal_keyring

folder = Path(sys.argv[1])
small = folder / "small"
small.mkdir()
if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small], check=False).returncode:
    sys.exit(77)
logging.basicConfig(level=logging.INFO, stream=sys.stderr)


def party(name: str):
    make_key(folder / f"{name}.pem")
    return load_signer(f"file:{folder / name}.pem", environ={})


def fill() -> None:
    with (small / "hog").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 1024)
        except OSError:
            pass


def tell(what: str, **found) -> None:
    print(json.dumps({"what": what, "version": trusted.keyring.version, "deciding": fetch.deciding, **found}))


root, newcomer = party("root"), party("newcomer")
pinned = Keyring(keys=(pin("root", root.public_key, Kind.KEYRING),))
published = folder / "published"
published.mkdir()
successor = admit(pinned, pin("newcomer", newcomer.public_key, Kind.COMMAND))
(published / "2.json").write_text(seal_keyring(successor, [root]))
trusted = Trusted(pinned, small / "keyrings")

with ThreadPoolExecutor(1) as executor:
    fetch = KeyringFetch(UpdateConfig(keyrings=published.as_uri()), trusted, executor, Random(1))

    def turn(now_ms: int) -> None:
        fetch.tick(now_ms)
        executor.submit(int).result()
        fetch.tick(now_ms)

    fetch.want()
    fill()
    turn(0)
    tell("full", left=sorted(path.name for path in small.rglob("*.json*")))
    turn(100)
    tell("too early")
    (small / "hog").unlink()
    turn(2_000)
    turn(2_000)
    tell("freed", restarted=Trusted(pinned, small / "keyrings").keyring.version)
