"""What Prometheus is told of webhooks."""

from prometheus_client import Counter

__all__ = ["attempts"]

attempts = Counter(
    "driftline_webhook_attempts", "Attempts to deliver an event, by what came of them.", ["webhook", "outcome"]
)
