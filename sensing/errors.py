"""What sensing refuses, in words an operator can act on."""

from schemas.errors import DriftlineError

__all__ = ["GridError", "PipelineError", "ReadingError", "SensingError", "UnknownPipelineError"]


class SensingError(DriftlineError):
    """Something about readings, features or grids that cannot be used."""


class ReadingError(SensingError):
    """A reading that does not fit the channels it was sent for."""


class GridError(SensingError):
    """A grid that does not fit its pipeline, or itself."""


class PipelineError(SensingError):
    """A declaration of a pipeline that says something else than channels and formulas."""


class UnknownPipelineError(SensingError):
    def __init__(self, wanted: str, known: tuple[str, ...]) -> None:
        super().__init__(
            f"unknown pipeline {wanted!r}; known: {', '.join(known)}",
            hint="choose a known one, or name the file that declares it",
        )
        self.wanted = wanted
