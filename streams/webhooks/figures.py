"""What Prometheus is told of webhooks."""

from prometheus_client import Counter, Gauge, Histogram

__all__ = ["attempts", "begin", "seconds", "waiting"]

attempts = Counter(
    "driftline_webhook_attempts", "Attempts to deliver an event, by what came of them.", ["webhook", "outcome"]
)

seconds = Histogram(
    "driftline_webhook_delivery_seconds", "From Kafka's stamp on a record to the receiver's yes, retries included.",
    ["webhook"], buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600),
)  # fmt: skip

waiting = Gauge("driftline_webhook_waiting_records", "Records read, and not yet delivered or given up.", ["webhook"])


def begin(webhook: str) -> None:
    """Show a webhook with nothing done yet: Prometheus sees no increase in what begins at 1."""
    for outcome in ("delivered", "failed", "given_up"):
        attempts.labels(webhook, outcome)
