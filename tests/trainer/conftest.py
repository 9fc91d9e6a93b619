"""Small real data and real keys, made once."""

from dataclasses import dataclass

import pytest

from schemas.manifest import ModelKind
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
