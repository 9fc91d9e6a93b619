"""Asking the controller or a worker for something, and hearing what became of it."""

import getpass
import time
import uuid
from collections.abc import Mapping

from driftline.sending import send
from schemas import feeds
from schemas.cluster import Cluster
from schemas.errors import DriftlineError
from schemas.operators import AuditEntry, OperatorRequest

__all__ = ["NoAnswerError", "RefusedError", "ask"]

TOPIC = "operators.requests"


class RefusedError(DriftlineError):
    """Whoever was asked would not do it."""


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
    worker: str = "rollouts",
    hint: str = "",
) -> AuditEntry:
    """Ask for something and return the audit log's entry about it; `worker` is whose business it is.

    `hint` is where to look after a refusal.
    """
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
        send(cluster, [(TOPIC, request)])
        end = time.monotonic() + wait_s
        while time.monotonic() < end:
            for event in log.poll(0.2):
                if isinstance(event, feeds.Changed):
                    return _told(event.value, hint)
    raise NoAnswerError(
        f"nobody answered within {wait_s:g} s; the request stands",
        hint=f"`driftline worker {worker}` takes it up when it runs",
    )


def _told(entry: AuditEntry, hint: str) -> AuditEntry:
    if entry.action.startswith("refused"):
        raise RefusedError(entry.why, hint=hint)
    return entry
