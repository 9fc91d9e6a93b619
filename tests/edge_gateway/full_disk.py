"""Fills a small file system of its own under a spool, and empties it again; run under `unshare --mount`."""

import subprocess
import sys
from pathlib import Path

from edge_gateway.config import SpoolConfig
from edge_gateway.errors import SpoolError
from edge_gateway.spool import Lane, Spool
from schemas.operators import AuditEntry

folder = Path(sys.argv[1]) / "small"
folder.mkdir()
if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], check=False).returncode:
    sys.exit(77)


def put(number: int) -> bool:
    entry = AuditEntry(subject="device/d", action="tried", who="test", why="x" * 2_000, at_ms=number)
    return spool.write(lambda write: write.put(Lane.CONTROL, "audit.log", entry, number), now_ms=number)


spool = Spool(folder / "spool.db", SpoolConfig(), now_ms=0)
hog = folder / "hog"
with hog.open("wb", buffering=0) as file:
    try:
        while True:
            file.write(b"x" * 1024)
    except OSError:
        pass

written = [put(number) for number in range(20)]
print(f"written: {written[-1]}, held: {spool.depth().held}")
try:
    Spool(folder / "another.db", SpoolConfig(), now_ms=0)
except SpoolError as error:
    print(f"another: {error}; {error.hint}")
hog.unlink()
last = put(20)
depth = spool.depth()
print(f"after: written: {last}, records: {depth.records}, held: {depth.held}, dropped: {depth.dropped}")
