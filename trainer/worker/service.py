"""The worker: waits to be the active one, then works through what is asked for, until it is stopped."""

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from schemas.cluster import Cluster
from schemas.wire import Contract
from trainer.publishing import FencedError
from trainer.readiness import Readiness
from trainer.registry.store import open_store
from trainer.release import keyring_of
from trainer.worker.config import TrainerConfig
from trainer.worker.election import Election
from trainer.worker.term import Term, Workplace
from trust import load_signer

__all__ = ["run_trainer"]

log = logging.getLogger(__name__)

_WAIT_S = 0.2


def run_trainer(
    cluster: Cluster,
    config: TrainerConfig,
    stop: threading.Event,
    *,
    environ: Mapping[str, str],
    folder: Path,
    clock_ms: Callable[[], int],
    readiness: Readiness | None = None,
) -> None:
    """Train what is asked for until `stop` is set; where another worker is active, wait to succeed it."""
    workplace = Workplace(
        cluster=cluster,
        contract=Contract.connect(cluster),
        config=config,
        store=open_store(config.store),
        # A wrong key is found here, not after the first training.
        keyring=keyring_of([load_signer(config.key, environ=environ)]),
        environ=environ,
        folder=folder,
        clock_ms=clock_ms,
    )
    readiness = readiness or Readiness()
    election = Election(cluster)
    try:
        while not stop.is_set():
            if election.poll(_WAIT_S):
                _lead(workplace, election, stop, readiness)
            readiness.lacks([] if election.settled else ["it neither trains nor stands by yet"])
    finally:
        election.close()


def _lead(workplace: Workplace, election: Election, stop: threading.Event, readiness: Readiness) -> None:
    log.info("trainer active: prefix=%s store=%s", workplace.cluster.prefix, workplace.config.store)
    readiness.lacks(["it takes over, and has not read what was asked for and done yet"])
    try:
        with Term(workplace) as term:
            while not stop.is_set() and election.poll(0):
                term.step(now_ms=workplace.clock_ms())
                readiness.lacks(term.waiting())
    except FencedError as error:
        log.warning("trainer stands by: %s", error)
