"""Kafka in bulk: Faust agents that are handed runs of records, and a producer that awaits delivery."""

from streams.kafka.app import make_app
from streams.kafka.bulk import Handed, accepted_runs, figures, waiting_runs
from streams.kafka.errors import BulkAppError, DeliveryError, UnfinishedRunError
from streams.kafka.fronts import fronts
from streams.kafka.outbox import Outbox
from streams.kafka.producer import BatchProducer, Outgoing
from streams.kafka.run import Run
from streams.kafka.topic import BulkTopic, bulk_topic
from streams.kafka.worker import run_worker

__all__ = [
    "BatchProducer",
    "BulkAppError",
    "BulkTopic",
    "DeliveryError",
    "Handed",
    "Outbox",
    "Outgoing",
    "Run",
    "UnfinishedRunError",
    "accepted_runs",
    "bulk_topic",
    "figures",
    "fronts",
    "make_app",
    "run_worker",
    "waiting_runs",
]
