"""Asking the controller for something, and hearing what became of it."""

import getpass
import time
import uuid
from collections.abc import Mapping

from confluent_kafka import Producer

from schemas import feeds
from schemas.cluster import Cluster
from schemas.errors import DriftlineError
from schemas.operators import AuditEntry, OperatorRequest
from schemas.wire import Contract

__all__ = ["NoAnswerError", "RefusedError", "ask"]

TOPIC = "operators.requests"


class RefusedError(DriftlineError):
    """The controller would not do what was asked."""


class NoAnswerError(DriftlineError):
    """The request is on its topic, and nobody has taken it up yet."""


def ask(
    cluster: Cluster,
    subject: str,
    action: str,
    *,
    why: str,
    who: str = "",
    arguments: Mapping[str, str] | None = None,
    wait_s: float = 15.0,
) -> AuditEntry:
    """Ask for something and return the audit log's entry about it."""
    request = OperatorRequest(
        request_id=str(uuid.uuid4()),
        subject=subject,
        action=action,
        who=who or getpass.getuser(),
        why=why,
        at_ms=time.time_ns() // 1_000_000,
        arguments=dict(arguments or {}),
    )
    # The log is followed before anything is asked, so that no answer comes too early to be heard.
    with feeds.follow(cluster, "audit.log", where=lambda entry: entry.subject == subject) as log:
        log.poll(0.1)
        _send(cluster, request)
        end = time.monotonic() + wait_s
        while time.monotonic() < end:
            for event in log.poll(0.2):
                if isinstance(event, feeds.Changed):
                    return _told(event.value)
    raise NoAnswerError(
        f"no controller answered within {wait_s:g} s; the request stands",
        hint="`driftline worker rollouts` runs one; it takes the request up when it starts",
    )


def _send(cluster: Cluster, request: OperatorRequest) -> None:
    key, value = Contract.connect(cluster).encode(TOPIC, request)
    producer = Producer({**cluster.client_settings(), "partitioner": "murmur2_random", "enable.idempotence": True})
    producer.produce(cluster.named(TOPIC), key=key, value=value)
    if producer.flush(10):
        raise DriftlineError("the request could not be delivered within 10 s")


def _told(entry: AuditEntry) -> AuditEntry:
    if entry.action.startswith("refused"):
        raise RefusedError(entry.why)
    return entry
