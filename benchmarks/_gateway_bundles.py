"""Bundles to measure gateways with, trained and signed as in earnest."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.rollouts import Command
from trainer.data import simulated
from trainer.release import Order, train_release
from trust import Keyring, Kind, Signer, load_signer, make_key, pin

__all__ = ["Made", "make_bundles"]

_SAMPLES = {"machine": 4_000, "vibration": 256_000, "weather": 4_000}


@dataclass(frozen=True, slots=True)
class Made:
    """A bundle on disk, and who vouches for it."""

    model_id: str
    sha256: str
    path: Path
    keyring: Keyring
    controller: Signer
    command: Command


def make_bundles(folder: Path, fleets: Sequence[str], algorithms: Sequence[str]) -> dict[tuple[str, str], Made]:
    """Train one model of each kind for each fleet."""
    trainer, controller = (_party(folder, name) for name in ("trainer", "controller"))
    keyring = Keyring(
        keys=(pin("trainer", trainer.public_key, Kind.MANIFEST), pin("controller", controller.public_key, Kind.COMMAND))
    )
    make = functools.partial(_make, folder, keyring, trainer, controller)
    return {(fleet, algorithm): make(fleet, algorithm) for fleet in fleets for algorithm in algorithms}


def _make(folder: Path, keyring: Keyring, trainer: Signer, controller: Signer, fleet: str, algorithm: str) -> Made:
    dataset = simulated(fleet, devices=3, samples=_SAMPLES[fleet], seed=5, trouble=0.0)
    trained = train_release(dataset, Order(model=f"{fleet}-{algorithm}", version="1", algorithm=algorithm), [trainer])
    path = folder / f"{trained.bundle.sha256}.bundle"
    path.write_bytes(trained.content)
    command = Command(
        device_id="bench",
        revision=1,
        rollout_id="bench",
        model_id=trained.bundle.manifest.model_id,
        bundle_sha256=trained.bundle.sha256,
        bundle_bytes=len(trained.content),
        bundle_url=path.as_uri(),
        issued_ms=0,
        envelope="",
    )
    return Made(command.model_id, trained.bundle.sha256, path, keyring, controller, command)


def _party(folder: Path, name: str) -> Signer:
    make_key(folder / f"{name}.pem")
    return load_signer(f"file:{folder / name}.pem", environ={})
