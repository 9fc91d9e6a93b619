"""The rules by which drift is judged, and which of them counted when."""

from typing import Annotated

from schemas.fields import Count, Millis, Total
from schemas.record import record

__all__ = ["Policy", "PolicyApplied"]


@record(namespace="drift")
class Policy:
    """A signed policy document."""

    policy_id: Annotated[str, "The policy's name; equals the record's key."]
    revision: Annotated[Total, "Rises with every change; an older one is ignored."]
    document: Annotated[str, "The policy, TOML."]
    envelope: Annotated[str, "Signature over name, revision and document: a DSSE envelope, JSON."]
    issued_ms: Annotated[Millis, "When it was issued."]
    issued_by: Annotated[str, "Who issued it."]
    withdrawn: Annotated[bool, "The policy no longer applies."] = False


@record(namespace="drift")
class PolicyApplied:
    """From one offset on, a worker judged by this policy."""

    partition: Annotated[Count, "Partition of the source topic; equals the record's key."]
    source_topic: Annotated[str, "The topic that is judged."]
    source_offset: Annotated[Total, "The first record that was judged so."]
    policy_id: Annotated[str, "The policy."]
    policy_revision: Annotated[Total, "Its revision."]
    at_ms: Annotated[Millis, "When the worker took it up."]
    document: Annotated[str, "The policy itself, TOML: its own topic forgets earlier revisions."] = ""
    envelope: Annotated[str, "The signature that the worker verified; empty for a policy of the worker's own."] = ""
