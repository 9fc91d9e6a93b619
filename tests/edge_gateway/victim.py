"""A gateway in a process of its own, to be killed: fast simulated readings, short windows, real Kafka."""

import json
import logging
import sys
import time
from pathlib import Path
from random import Random

from edge_gateway import GatewayConfig, SamplingConfig, WatchConfig, WindowConfig, online, run
from edge_gateway.sources import Opened
from schemas.cluster import Cluster
from sensing.pipelines import MACHINE
from sensing.simulator import Simulated
from sensing.sources import SimulatedSource

SPEED = 100.0

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    folder, duration_s, cluster = Path(sys.argv[1]), float(sys.argv[2]), Cluster(**json.loads(sys.argv[3]))
    born = folder / "born"
    if not born.exists():
        born.write_text(str(time.time()))
    born_s = float(born.read_text())
    # Event time goes on where it would be, as a sensor's does while nobody listens.
    start_ms = int((born_s + (time.time() - born_s) * SPEED) * 1000)
    config = GatewayConfig(
        device_id="press-7",
        data=folder / "data",
        keyring=folder / "keyring.json",
        windows=WindowConfig(length_s=5.0, lateness_s=1.0, checkpoint_s=0.2),
        watch=WatchConfig(bake_s=1.0, bake_windows=1, bake_decisions=5),
        sampling=SamplingConfig(uniform_per_window=1, anomalies_per_window=1),
        heartbeat_s=1.0,
    )
    summary = run(
        config,
        Opened(SimulatedSource([Simulated("machine", device=9, start_ms=start_ms)], speed=SPEED), MACHINE),
        lambda gateway: online(gateway, cluster, rng=Random()),
        duration_s=duration_s,
    )
    print(json.dumps({"sent": summary.sent, "waiting": summary.waiting, "lost": summary.lost}), flush=True)
