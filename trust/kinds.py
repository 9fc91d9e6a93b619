"""What can be signed; the kind is part of what is signed, so one kind is never taken for another."""

from enum import StrEnum

__all__ = ["Kind"]


class Kind(StrEnum):
    """The payload types of our envelopes."""

    MANIFEST = "application/vnd.driftline.manifest+json"
    COMMAND = "application/vnd.driftline.command+json"
    POLICY = "application/vnd.driftline.policy+json"
    CHECKPOINT = "application/vnd.driftline.checkpoint+json"
    KEYRING = "application/vnd.driftline.keyring+json"
