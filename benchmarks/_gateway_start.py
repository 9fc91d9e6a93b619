"""A gateway that starts, decides once, connects, and tells what that took."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from edge_gateway.agent import Gateway
from edge_gateway.config import GatewayConfig
from edge_gateway.resources import resident_bytes
from sensing.simulator import Simulated
from sensing.sources.base import Readings
from trust import read_keyring

if __name__ == "__main__":
    home, fleet = Path(sys.argv[1]), sys.argv[2]
    config = GatewayConfig(device_id="bench", data=home, keyring=home / "keyring.json")
    executor = ThreadPoolExecutor(1)
    gateway = Gateway(config, read_keyring(config.keyring), executor=executor, rng=Random(1), now_ms=0)
    readings = Simulated(fleet).take(1280)
    decided = gateway.take([Readings("s", readings.at_ms, readings.values)], 0)
    assert decided
    first_s = time.perf_counter()
    alone = resident_bytes()

    from edge_gateway import online
    from schemas.cluster import Cluster

    # Nobody answers there; what connecting takes is in memory all the same.
    network = online(gateway, Cluster(bootstrap="127.0.0.1:9", registry_url="http://127.0.0.1:9"), rng=Random(1))
    time.sleep(1.0)
    found = {"first_decision_at_s": first_s, "resident_bytes": alone, "online_bytes": resident_bytes()}
    print(json.dumps(found), flush=True)
    network.close()
    executor.shutdown()
