"""What may be wrong with a webhook before anything is sent."""

from schemas.errors import DriftlineError

__all__ = ["WebhookConfigError"]


class WebhookConfigError(DriftlineError):
    """A subscription that cannot be followed: names the key, what was found there and what was wanted."""

    def __init__(self, key: str, found: str, wanted: str) -> None:
        super().__init__(f"webhooks: {key}: found {found}, wanted {wanted}")
        self.key = key
