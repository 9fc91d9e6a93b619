"""What the trainer's worker is told at its start."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schemas.release import ReleaseStage
from schemas.training import TrainingCause
from trainer.desk import DeskPolicy
from trainer.errors import TrainerError
from trainer.models import algorithm_named
from trainer.tracking import Tracking
from trainer.worker.ledger import TrainingPolicy

__all__ = ["TrainerConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerConfig:
    """The worker's settings; a bad one stops it before anything is read."""

    # Signs the bundles: file:PATH, env:NAME or hsm:ID?label=TOKEN. There is no default.
    key: str
    # Where bundles are kept: a folder, or what fsspec opens.
    store: str
    # Where gateways fetch them; the bundle's name is put behind it.
    public_url: str
    # The keyring with which older bundles are opened for comparison; without one, the signer's own key.
    keyring: Path | None = None
    # Parquet that the sink fills; without it data are replayed from Kafka.
    offline: Path | None = None
    # Which algorithm trains which model; others are isolation forests.
    algorithms: Mapping[str, str] = field(default_factory=dict)
    min_rows: int = 500
    cool_down_s: float = 6 * 3600.0
    max_attempts: int = 3
    backoff_s: float = 30.0
    timeout_s: float = 3600.0
    # Causes that wait for a person: drift, labels, accuracy, person.
    approve: tuple[str, ...] = ()
    # How far a release goes by itself when it is not worse than the one in production.
    promote_to: str = "candidate"
    # Also when nobody could compare, for want of labels: the rollout's gates are then the only judges.
    promote_uncompared: bool = False
    licence: str = ""
    # An MLflow server that is told of every training; who asks is in MLflow's own variables.
    mlflow: str = ""
    # The desk: when drift, labels and accuracy become requests; off where only people ask.
    desk: bool = True
    desk_cool_down_s: float = 24 * 3600.0
    desk_sustained_s: float = 1800.0
    desk_devices: int = 3
    desk_labels: int = 1_000
    desk_needs_approval: bool = False

    def __post_init__(self) -> None:
        for name in ("cool_down_s", "backoff_s"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        for name in ("max_attempts", "min_rows", "timeout_s"):
            _require(getattr(self, name) > 0, name, getattr(self, name), "more than 0")
        _require(bool(self.key), "key", self.key, "file:PATH, env:NAME or hsm:ID?label=TOKEN")
        stages = ("candidate", "staging", "production")
        _require(self.promote_to in stages, "promote_to", self.promote_to, ", ".join(stages))
        causes = {cause.value for cause in TrainingCause} - {"unknown"}
        _require(causes.issuperset(self.approve), "approve", self.approve, ", ".join(sorted(causes)))
        for algorithm in self.algorithms.values():
            algorithm_named(algorithm)
        if self.mlflow:
            Tracking(self.mlflow)

    @property
    def policy(self) -> TrainingPolicy:
        return TrainingPolicy(
            cool_down_ms=int(self.cool_down_s * 1000),
            max_attempts=self.max_attempts,
            backoff_ms=int(self.backoff_s * 1000),
            timeout_ms=int(self.timeout_s * 1000),
            approve=frozenset(TrainingCause(cause) for cause in self.approve),
        )

    @property
    def desk_policy(self) -> DeskPolicy:
        return DeskPolicy(
            sustained_ms=int(self.desk_sustained_s * 1000),
            devices=self.desk_devices,
            labels=self.desk_labels,
            cool_down_ms=int(self.desk_cool_down_s * 1000),
            needs_approval=self.desk_needs_approval,
        )

    @property
    def goes_to(self) -> ReleaseStage:
        return ReleaseStage(self.promote_to)

    def algorithm_of(self, model: str) -> str:
        return self.algorithms.get(model, "isolation_forest")


def _require(good: bool, name: str, found: object, wanted: str) -> None:
    if not good:
        raise TrainerError(f"trainer.{name} is {found!r}, wanted {wanted}")
