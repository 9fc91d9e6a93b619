"""What a feed refuses to do."""

from schemas.errors import DriftlineError

__all__ = ["FeedClosedError", "FeedRefusedError", "NotCurrentError", "PositionError", "TopicMissingError"]


class TopicMissingError(DriftlineError):
    def __init__(self, topic: str, bootstrap: str) -> None:
        super().__init__(
            f"there is no topic {topic} on {bootstrap}",
            hint="`driftline topics create` makes it; is the prefix (DRIFTLINE_PREFIX) the right one?",
        )
        self.topic = topic


class PositionError(DriftlineError):
    """A saved position that cannot be used."""

    def __init__(self, found: str, wanted: str) -> None:
        super().__init__(
            f"saved position: found {found}, wanted {wanted}", hint="without a position the topic is read anew"
        )


class FeedRefusedError(DriftlineError):
    """The cluster does not let us read."""


class NotCurrentError(DriftlineError):
    """A table did not catch up in time."""


class FeedClosedError(DriftlineError):
    """The feed was closed."""
