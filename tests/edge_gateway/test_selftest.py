"""The self-test measures the model, not who else is busy."""

import threading

import pytest

from edge_gateway.errors import BundleRefusedError
from edge_gateway.selftest import probe
from edge_gateway.trusted import Trusted
from schemas.manifest import Limits


@pytest.fixture
def busy():
    """Threads that hold the interpreter's lock for as long as they may."""
    ended = threading.Event()

    def spin():
        while not ended.is_set():
            sum(range(1_000))

    threads = [threading.Thread(target=spin) for _ in range(3)]
    for thread in threads:
        thread.start()
    yield
    ended.set()
    for thread in threads:
        thread.join()


def bundle(foundry, tmp_path, latency_ms):
    made = foundry.bundle("1", manifest={"limits": Limits(latency_ms=latency_ms, memory_bytes=10**9)})
    return Trusted(foundry.keyring, tmp_path).read(made.path)


def test_a_good_model_passes_beside_a_gateway_that_is_busy(foundry, tmp_path, busy):
    # Who has to let go of the lock waits for 15 ms, 5 for each thread, and a call computes for a fraction of one.
    found = probe(bundle(foundry, tmp_path, latency_ms=10.0))

    assert 0 < found.latency_p99_ms < 10.0


def test_a_slow_model_is_refused_all_the_same(foundry, tmp_path):
    with pytest.raises(BundleRefusedError, match="ms an inference here; at most 1e-06"):
        probe(bundle(foundry, tmp_path, latency_ms=1e-6))
