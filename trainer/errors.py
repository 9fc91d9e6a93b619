"""What the trainer refuses, in words an operator can act on."""

from schemas.errors import DriftlineError
from trainer.check import Check

__all__ = ["DataRefusedError", "DatasetError", "ParityError", "RegistryError", "TrainerError", "UnknownModelKindError"]


class TrainerError(DriftlineError):
    """Something about training or releasing a model that cannot go on."""


class DatasetError(TrainerError):
    """Data that cannot be read, or that does not fit its pipeline."""


class DataRefusedError(TrainerError):
    """Data that was read, but from which nothing should be learned; `findings` says why."""

    def __init__(self, findings: tuple[str, ...], *, checks: tuple[Check, ...] = ()) -> None:
        super().__init__(
            f"the data are refused: {'; '.join(findings)}",
            hint="mend or leave out what is named; `driftline train --report FILE` shows every check",
        )
        self.findings = findings
        # All that was checked, passed or not.
        self.checks = checks


class ParityError(TrainerError):
    """The exported graph does not decide as the trained model does."""


class RegistryError(TrainerError):
    """A release that is not there, or that may not go where it was sent."""


class UnknownModelKindError(TrainerError):
    def __init__(self, wanted: str, known: tuple[str, ...]) -> None:
        super().__init__(f"unknown model {wanted!r}; known: {', '.join(known)}")
        self.wanted = wanted
