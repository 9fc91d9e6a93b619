"""One training in a process of its own: a crash, a leak or a kill here is no harm to the worker.

The order comes as one line of JSON on standard input; while that stays open the worker lives, and when it closes
this process ends. Progress goes out as JSON lines; the bundle, the report and the outcome are files.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from schemas.cluster import Cluster
from schemas.errors import DriftlineError
from schemas.grid import Grid
from schemas.record import as_plain, from_plain
from schemas.training import TrainingRequest
from sensing import learn, pipeline_of
from trainer.data.assembly import Assembled
from trainer.data.checks import Limits
from trainer.data.topics import from_topics
from trainer.errors import DataRefusedError, ParityError, RegistryError
from trainer.models.base import Settings
from trainer.offline.store import OfflineStore
from trainer.registry.comparison import Comparison, compare
from trainer.release import Order, Trained, keyring_of, metrics_of, train_release
from trainer.tracking import Tracking, TrackingError
from trust import Bundle, Keyring, TrustError, load_signer, open_bundle, read_keyring, write_whole

__all__ = ["BUNDLE", "OUTCOME", "JobOrder", "Outcome", "main"]

_AS_THEY_ARE = ("version", "algorithm", "key", "min_rows", "licence", "mlflow")

BUNDLE, OUTCOME = "trained.bundle", "outcome.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOrder:
    """What the worker tells the process."""

    request: TrainingRequest
    version: str
    algorithm: str
    key: str
    cluster: Cluster
    folder: Path
    keyring: Path | None = None
    offline: Path | None = None
    grid: Grid | None = None
    # The bundle in production, to compare with and to go on from.
    champion: Path | None = None
    min_rows: int = 500
    licence: str = ""
    mlflow: str = ""

    def to_json(self) -> str:
        return json.dumps(
            {
                **{name: getattr(self, name) for name in _AS_THEY_ARE},
                "request": as_plain(self.request),
                "cluster": {**asdict(self.cluster)},
                "grid": None if self.grid is None else as_plain(self.grid),
                **{name: _text(getattr(self, name)) for name in ("folder", "keyring", "offline", "champion")},
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "JobOrder":
        plain = json.loads(text)
        return cls(
            **{name: plain[name] for name in _AS_THEY_ARE},
            request=from_plain(TrainingRequest, plain["request"]),
            cluster=Cluster(**plain["cluster"]),
            grid=None if plain["grid"] is None else from_plain(Grid, plain["grid"]),
            folder=Path(plain["folder"]),
            keyring=_path(plain["keyring"]),
            offline=_path(plain["offline"]),
            champion=_path(plain["champion"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the training went; `refused` is final, for the same data would be refused again."""

    refused: str = ""
    failed: str = ""
    metrics: Mapping[str, float] | None = None
    left_out: tuple[str, ...] = ()
    rows: int = 0
    labels: int = 0
    compared: str = ""
    # Where the tracking server shows it, or why it does not.
    tracked: str = ""
    # None: there was nothing to compare with, or no labels to compare by.
    not_worse: bool | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Outcome":
        plain = json.loads(text)
        return cls(**{**plain, "left_out": tuple(plain["left_out"])})


def main() -> None:
    line = sys.stdin.readline()
    if not line:
        # The worker ended before it had anything to train.
        return
    order = JobOrder.from_json(line)
    threading.Thread(target=_end_with_the_worker, daemon=True).start()
    try:
        outcome = _train(order)
    except (DataRefusedError, ParityError) as error:
        outcome = Outcome(refused=str(error))
    except DriftlineError as error:
        outcome = Outcome(failed=str(error))
    except OSError as error:
        # A full disk, most likely; when there is room again, another attempt may do it.
        outcome = Outcome(failed=str(error))
    write_whole(order.folder / OUTCOME, outcome.to_json().encode())


def _train(order: JobOrder) -> Outcome:
    signer = load_signer(order.key, environ=os.environ)
    if order.grid is not None:
        learn(pipeline_of(order.grid))
    _tell("gathering data", 0.0)
    gathered = _gather(order)
    champion = _champion(order, keyring_of([signer]))
    trained = train_release(
        gathered.dataset,
        Order(
            model=order.request.model,
            version=order.version,
            algorithm=order.algorithm,
            changed_ms=order.request.changed_ms,
            settings=_settings(champion),
            data_limits=Limits(min_rows=order.min_rows),
            # Its successor is allowed what the model in production was.
            device_limits=None if isinstance(champion, str) else champion.manifest.limits,
            licence=order.licence,
        ),
        [signer],
        grid=order.grid,
        known_dispersion=None if isinstance(champion, str) else champion.baseline,
        progress=_tell,
    )
    write_whole(order.folder / BUNDLE, trained.content)
    comparison = _compared(champion, trained)
    return Outcome(
        metrics=metrics_of(trained),
        left_out=trained.left_out,
        rows=len(gathered.dataset),
        labels=gathered.labels_used,
        compared=str(comparison),
        tracked=_tracked(order, trained),
        not_worse=comparison.not_worse if isinstance(comparison, Comparison) else None,
    )


def _gather(order: JobOrder) -> Assembled:
    request = order.request
    stretch: dict[str, Any] = {
        "from_ms": request.data_from_ms,
        "to_ms": request.data_to_ms,
        "as_of_ms": request.requested_ms,
        "excluded": request.excluded_devices,
    }
    if order.offline is not None:
        return OfflineStore(order.offline).assemble(request.pipeline, **stretch)
    return from_topics(order.cluster, request.pipeline, **stretch)


def _champion(order: JobOrder, own: Keyring) -> Bundle | str:
    """Return the bundle in production, or why there is none to compare with."""
    if order.champion is None:
        return "no release is in production"
    keyring = own if order.keyring is None else read_keyring(order.keyring)
    try:
        return open_bundle(order.champion.read_bytes(), keyring)
    except TrustError as error:
        # A champion whose key was revoked since is no reason not to train its successor.
        return f"the bundle in production cannot be compared with: {error}"


def _settings(champion: Bundle | str) -> Settings:
    """Without labels a new model should speak up about as often as the old one did when it was new."""
    share = None if isinstance(champion, str) else champion.manifest.metrics.get("anomaly_share")
    return Settings() if share is None else replace(Settings(), contamination=min(max(share, 0.002), 0.3))


def _compared(champion: Bundle | str, trained: Trained) -> Comparison | str:
    if isinstance(champion, str):
        return champion
    try:
        return compare(champion, trained.bundle, trained.split.holdout)
    except RegistryError as error:
        return str(error)


def _tracked(order: JobOrder, trained: Trained) -> str:
    if not order.mlflow:
        return ""
    _tell("telling the tracking server", 1.0)
    try:
        tracking = Tracking.of(order.mlflow, os.environ)
        return tracking.track(trained, at_ms=time.time_ns() // 1_000_000, request_id=order.request.request_id)
    except TrackingError as error:
        print(f"not tracked: {error}", file=sys.stderr)
        return f"not tracked: {error}"


def _tell(what: str, share: float) -> None:
    print(json.dumps({"doing": what, "share": share}), flush=True)


def _end_with_the_worker() -> None:
    sys.stdin.read()
    os._exit(3)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


if __name__ == "__main__":
    main()
