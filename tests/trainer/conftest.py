"""Small real data and real keys, made once; samples and labels as gateways and people send them."""

import resource
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np
import pytest

from schemas.manifest import ModelKind
from schemas.sample import Label, Sample, SampledBecause
from trainer.data import Dataset, simulated
from trainer.release import Order, Trained, train_release
from trust import Keyring, Kind, Signer, load_signer, make_key, pin


@dataclass(frozen=True)
class Keys:
    signer: Signer
    keyring: Keyring
    source: str


@pytest.fixture(scope="session")
def keys(tmp_path_factory) -> Keys:
    path = tmp_path_factory.mktemp("keys") / "trainer.pem"
    key = make_key(path)
    source = f"file:{path}"
    return Keys(load_signer(source, environ={}), Keyring(keys=(pin("trainer", key, Kind.MANIFEST),)), source)


@pytest.fixture(scope="session")
def machines() -> Dataset:
    """Three machines over 50 minutes, a tenth of the time in trouble."""
    return simulated("machine", devices=3, samples=3_000, seed=5)


@pytest.fixture(scope="session")
def trained(machines, keys) -> Trained:
    return train_release(machines, Order(model="bearing", version="1"), [keys.signer])


@pytest.fixture(scope="session")
def dataset_for(machines):
    """Data that a kind of model can learn from."""

    def choose(kind: ModelKind) -> Dataset:
        return (
            simulated("weather", devices=2, samples=1_500, seed=5, trouble=0)
            if kind is ModelKind.FORECAST
            else machines
        )

    return choose


@pytest.fixture
def full_disk() -> Callable[[], AbstractContextManager[None]]:
    """Let the kernel refuse to write a file longer than 8 KiB, as a full disk would, for as long as it is entered."""

    @contextmanager
    def full() -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8 * 1024, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, ignored)

    return full


@pytest.fixture
def no_room(full_disk) -> Iterator[None]:
    """A disk that is full for the whole of a test."""
    with full_disk():
        yield


@pytest.fixture
def sample() -> Callable[..., Sample]:
    def made(number: int, *, device: str = "a", **changes) -> Sample:
        facts = {
            "device_id": device,
            "prediction_id": _id(number),
            "model_id": "bearing/1",
            "pipeline": "machine/1",
            "at_ms": number * 1000,
            "features": np.full(16, number, dtype="<f4").tobytes(),
            "score": 0.5,
            "anomaly": False,
            "confidence": 0.5,
            "because": SampledBecause.UNIFORM,
        }
        return Sample(**{**facts, **changes})

    return made


@pytest.fixture
def label() -> Callable[[int, float, int], Label]:
    def made(number: int, value: float, at_ms: int) -> Label:
        return Label(device_id="a", prediction_id=_id(number), value=value, at_ms=at_ms, by="ops")

    return made


def _id(number: int) -> str:
    return str(uuid.UUID(int=number))
