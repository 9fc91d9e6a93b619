"""Webhooks: what happens on the topics, delivered over HTTP to services without Kafka."""

from streams.webhooks.errors import WebhookConfigError
from streams.webhooks.service import Webhooks
from streams.webhooks.signing import Secret, SignatureError, signature_headers, verify
from streams.webhooks.subscription import Subscription, read_subscriptions

__all__ = [
    "Secret",
    "SignatureError",
    "Subscription",
    "WebhookConfigError",
    "Webhooks",
    "read_subscriptions",
    "signature_headers",
    "verify",
]
