"""What the notifier tells Prometheus."""

from collections.abc import Iterable

from prometheus_client import Counter

__all__ = ["begin", "given_up", "sent"]

sent = Counter("driftline_notify_sent", "Messages that an address took, by route.", ["route"])

given_up = Counter("driftline_notify_given_up", "Messages that no try brought to their address, by route.", ["route"])


def begin(routes: Iterable[str]) -> None:
    """Show routes with nothing done yet: Prometheus sees no increase in what begins at 1."""
    for route in routes:
        sent.labels(route)
        given_up.labels(route)
