"""What can go wrong in the demo."""

from schemas.errors import DriftlineError

__all__ = ["DidNotHappenError"]


class DidNotHappenError(DriftlineError):
    def __init__(self, what: str, within_s: float, logs: str) -> None:
        super().__init__(
            f"the demo waited {within_s:.0f} s for this, and it did not happen: {what}",
            hint=f"the workers' words are in {logs}",
        )
        self.what = what
