"""Policies on their topic: signing and publishing one, and seeing what is there."""

import hashlib
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from driftline.sending import send
from driftline.text_files import read_text_file
from schemas import feeds
from schemas.cluster import Cluster
from schemas.errors import DriftlineError
from schemas.operators import AuditEntry
from schemas.policy import Policy
from streams.drift.policy import PolicyError, read_policy
from streams.health.policy import read_health_policy
from trust import Signer, sign_record

__all__ = [
    "TOPIC",
    "ChangedMeanwhileError",
    "check_document",
    "present_policies",
    "publish_policy",
    "read_policy_file",
    "withdraw_policy",
]

TOPIC = "drift.policies"


class ChangedMeanwhileError(DriftlineError):
    """Somebody else has published the policy since it was read."""

    def __init__(self, policy_id: str) -> None:
        super().__init__(
            f"policy {policy_id!r}: somebody else has published it meanwhile",
            hint="look at it with `driftline drift policy show`, then decide whether your change still fits",
        )


def check_document(document: str) -> None:
    """Raise `PolicyError` unless drift and health workers could judge by a document."""
    read_policy(document)
    read_health_policy(document)


def read_policy_file(path: Path) -> str:
    """Return the document of a file that workers could judge by; what is wrong with it is told with the file's name."""
    document = read_text_file(path)
    try:
        check_document(document)
    except PolicyError as refused:
        raise DriftlineError(f"{path}: {refused}", hint=refused.hint) from None
    return document


def present_policies(cluster: Cluster) -> Mapping[str, Policy]:
    """Return the newest record of each policy; whether they verify is not looked at."""
    return feeds.snapshot(cluster, TOPIC)


def publish_policy(
    cluster: Cluster,
    policy_id: str,
    document: str,
    signers: Sequence[Signer],
    *,
    who: str,
    why: str,
    only_after: Collection[int] | None = None,
) -> Policy:
    """Check, sign and publish a policy as the next revision of its name; workers take it up without a restart.

    `ChangedMeanwhileError` where the newest revision is none of `only_after`.
    """
    check_document(document)
    newest = present_policies(cluster).get(policy_id)
    if only_after is not None and (newest is None or newest.revision not in only_after):
        raise ChangedMeanwhileError(policy_id)
    return _publish(cluster, policy_id, document, signers, after=newest, who=who, why=why, withdrawn=False)


def withdraw_policy(cluster: Cluster, policy_id: str, signers: Sequence[Signer], *, who: str, why: str) -> Policy:
    """Have a policy no longer apply: workers go back to the one that they were started with."""
    known = present_policies(cluster).get(policy_id)
    if known is None or known.withdrawn:
        raise DriftlineError(f"no policy {policy_id!r} applies", hint="`driftline drift policy list` shows them")
    return _publish(cluster, policy_id, known.document, signers, after=known, who=who, why=why, withdrawn=True)


def _publish(
    cluster: Cluster,
    policy_id: str,
    document: str,
    signers: Sequence[Signer],
    *,
    after: Policy | None,
    who: str,
    why: str,
    withdrawn: bool,
) -> Policy:
    now_ms = time.time_ns() // 1_000_000
    unsigned = Policy(
        policy_id=policy_id,
        revision=after.revision + 1 if after else 1,
        document=document,
        envelope="",
        issued_ms=now_ms,
        issued_by=who,
        withdrawn=withdrawn,
    )
    policy = sign_record(unsigned, signers)
    evidence = {
        "revision": str(policy.revision),
        "sha256": hashlib.sha256(document.encode()).hexdigest(),
        "signed_by": ", ".join(f"{signer.public_key.keyid:.12}" for signer in signers),
    }
    action = "withdrawn" if withdrawn else "published"
    entry = AuditEntry(
        subject=f"policy/{policy_id}", action=action, who=who, why=why, at_ms=now_ms, evidence=evidence
    )  # fmt: skip
    send(cluster, [(TOPIC, policy), ("audit.log", entry)])
    standing = present_policies(cluster).get(policy_id)
    if standing != policy:
        raise ChangedMeanwhileError(policy_id)
    return policy
