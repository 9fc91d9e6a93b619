"""Where a fleet's topics are, as a value; who reads the environment builds it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Cluster"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One Kafka cluster with its schema registry, and the prefix that a fleet's topics and groups carry there."""

    bootstrap: str = "127.0.0.1:9092"
    registry_url: str = "http://127.0.0.1:8081"
    prefix: str = ""
    # Under librdkafka's names: security.protocol, ssl.ca.location, sasl.password and their like; never printed.
    security: Mapping[str, str] = field(default_factory=dict, repr=False)
    # Under SchemaRegistryClient's names: ssl.ca.location, basic.auth.user.info and their like; never printed.
    registry_security: Mapping[str, str] = field(default_factory=dict, repr=False)

    def client_settings(self) -> dict[str, str]:
        """Return what every librdkafka client of this cluster is made with."""
        return {"bootstrap.servers": self.bootstrap, **self.security}

    def producer_settings(self) -> dict[str, str]:
        """Return what every librdkafka producer of this cluster is made with.

        The partitioner is that of Java's clients and of aiokafka; librdkafka's own sends most keys elsewhere.
        """
        return {**self.client_settings(), "partitioner": "murmur2_random"}

    def named(self, name: str) -> str:
        """Return the name that a topic or a group has on the cluster.

        >>> Cluster(prefix="plant7-").named("drift.alerts")
        'plant7-drift.alerts'
        """
        return f"{self.prefix}{name}"
