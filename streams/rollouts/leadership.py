"""Who leads: the owner of a one-partition topic. Kafka's group protocol elects, and notices who is gone."""

from confluent_kafka import Consumer, KafkaException, TopicPartition

from schemas.cluster import Cluster

__all__ = ["Leadership"]

TOPIC = "rollouts.leader"
# The least that brokers allow by default; a frozen leader is replaced after so long.
SESSION_S = 6.0


class Leadership:
    """Membership in the group of controllers."""

    def __init__(self, cluster: Cluster, *, session_s: float = SESSION_S) -> None:
        self._leads = False
        self._consumer = Consumer(
            {
                **cluster.client_settings(),
                "group.id": cluster.named("rollouts-leader"),
                "enable.auto.commit": False,
                "auto.offset.reset": "latest",
                "session.timeout.ms": int(session_s * 1_000),
                # A rebalance is heard of with the next heartbeat; a successor should not wait long for that.
                "heartbeat.interval.ms": 500,
                # Leading has nothing to do with how often it polls; its writes are fenced anyway.
                "max.poll.interval.ms": 600_000,
                # Who leads goes on leading when others come, or wake up.
                "partition.assignment.strategy": "cooperative-sticky",
            }
        )
        self._consumer.subscribe(
            [cluster.named(TOPIC)], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    def holds(self, timeout_s: float = 0.0) -> bool:
        """Say whether this process leads; wait for so long for news."""
        message = self._consumer.poll(timeout_s)
        if message is not None and (error := message.error()) is not None and error.fatal():
            raise KafkaException(error)
        return self._leads

    def close(self) -> None:
        """Leave at once, so that the next one need not wait for the session to end."""
        self._consumer.close()

    def _assigned(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Only what is new is told; nothing new is no loss.
        self._leads = self._leads or bool(partitions)

    def _revoked(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._leads = self._leads and not partitions
