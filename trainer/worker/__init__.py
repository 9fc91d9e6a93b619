"""The worker that turns training requests into releases."""

from trainer.worker.config import TrainerConfig
from trainer.worker.ledger import TrainingPolicy
from trainer.worker.service import run_trainer

__all__ = ["TrainerConfig", "TrainingPolicy", "run_trainer"]
