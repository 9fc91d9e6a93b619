"""Which of several workers trains: the one that owns a partition of which there is only one."""

from collections.abc import Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError

from schemas.cluster import Cluster
from trainer.errors import TrainerError

__all__ = ["Election"]

# Any topic with one partition does: it is owned, not read.
_TOPIC = "audit.checkpoints"


class Election:
    """Membership of the workers' group; polled often, so that it lasts."""

    def __init__(self, cluster: Cluster) -> None:
        self.elected = False
        # The group has said who trains: this worker, or another.
        self.settled = False
        self._consumer = Consumer(
            {
                **cluster.client_settings(),
                "group.id": cluster.named("trainer"),
                "enable.auto.commit": False,
                "auto.offset.reset": "latest",
                "session.timeout.ms": 10_000,
                # Who owns it keeps it when others join: a newcomer does not end a training that is under way.
                "partition.assignment.strategy": "cooperative-sticky",
            }
        )
        self._consumer.subscribe(
            [cluster.named(_TOPIC)], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    def poll(self, timeout_s: float) -> bool:
        """Keep the membership, and tell whether this worker is the one."""
        message = self._consumer.poll(timeout_s)
        error = None if message is None else message.error()
        if error is not None and error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise TrainerError(f"the fleet's topics are not there: {error.str()}", hint="driftline topics create")
        return self.elected

    def close(self) -> None:
        self._consumer.close()

    def _assigned(self, _consumer: Any, partitions: Sequence[Any]) -> None:
        self.settled = True
        # A sticky assignment tells what is new: after a newcomer, nothing.
        self.elected = self.elected or bool(partitions)

    def _revoked(self, _consumer: Any, partitions: Sequence[Any]) -> None:
        self.elected = self.elected and not partitions
