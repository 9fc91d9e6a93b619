"""One policy as a worker judges by it: who it is, what it says, and the rules read from it."""

from dataclasses import dataclass, field

from schemas.policy import Policy, PolicyApplied
from streams.drift.policy.reader import read_policy
from streams.drift.policy.rules import Rules
from trust import Keyring, open_record

__all__ = ["InForce", "note_applied", "own_policy", "signed_policy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """A policy, read and checked; two are the same when they say the same under the same name and revision."""

    policy_id: str = "default"
    revision: int = 0
    document: str = ""
    rules: Rules = field(default_factory=Rules, compare=False)
    # What vouches for it; empty for one that the worker was started with.
    envelope: str = field(default="", compare=False, repr=False)


def own_policy(document: str = "", *, policy_id: str = "default") -> InForce:
    """Return a policy that comes with the worker; an empty document is the default policy.

    >>> own_policy('mode = "thresholds"', policy_id="strict").rules.mode
    'thresholds'
    """
    return InForce(policy_id=policy_id, document=document, rules=read_policy(document))


def signed_policy(policy: Policy, keyring: Keyring) -> InForce:
    """Return the policy of a record that verifies; otherwise raise what is wrong, a `TrustError` or `PolicyError`."""
    opened = open_record(policy, keyring)
    return InForce(
        policy_id=opened.policy_id,
        revision=opened.revision,
        document=opened.document,
        rules=Rules() if opened.withdrawn else read_policy(opened.document),
        envelope=opened.envelope,
    )


def note_applied(policy: InForce, *, topic: str, partition: int, offset: int, at_ms: int) -> PolicyApplied:
    """Return the record that says from which offset on a partition is judged by a policy."""
    return PolicyApplied(
        partition=partition,
        source_topic=topic,
        source_offset=offset,
        policy_id=policy.policy_id,
        policy_revision=policy.revision,
        at_ms=at_ms,
        document=policy.document,
        envelope=policy.envelope,
    )
