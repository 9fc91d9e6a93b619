"""What the notifier tells Prometheus."""

from prometheus_client import Counter

__all__ = ["given_up", "sent"]

sent = Counter("driftline_notify_sent", "Messages that an address took, by route.", ["route"])

given_up = Counter("driftline_notify_given_up", "Messages that no try brought to their address, by route.", ["route"])
