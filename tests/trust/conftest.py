"""Real keys in real files, and the keyring that trusts them."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from schemas.rollouts import Command
from trust import Keyring, Kind, PinnedKey, Signer, load_signer, make_key, pin


@dataclass(frozen=True)
class Party:
    """Somebody with a key."""

    pinned: PinnedKey
    signer: Signer


@pytest.fixture
def party(tmp_path: Path):
    """Make a party whose key may sign the given kinds."""

    def make(name: str, *kinds: Kind) -> Party:
        path = tmp_path / f"{name}.pem"
        key = make_key(path)
        return Party(pin(name, key, *kinds), load_signer(f"file:{path}", environ={}))

    return make


@pytest.fixture
def controller(party) -> Party:
    return party("controller", Kind.COMMAND, Kind.POLICY)


@pytest.fixture
def trainer(party) -> Party:
    return party("trainer", Kind.MANIFEST)


@pytest.fixture
def keyring(controller: Party, trainer: Party) -> Keyring:
    return Keyring(keys=(controller.pinned, trainer.pinned))


@pytest.fixture
def command() -> Command:
    return Command(
        device_id="press-7",
        revision=3,
        rollout_id="r1",
        model_id="bearing/2",
        bundle_sha256="ab" * 32,
        bundle_bytes=1000,
        bundle_url="http://127.0.0.1/bundles/ab",
        issued_ms=1_700_000_000_000,
        envelope="",
        settings={"bake_s": "60"},
    )
