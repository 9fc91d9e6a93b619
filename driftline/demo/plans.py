"""How the demo's models reach their devices: a standing plan for each kind, filed as an operator would."""

import json
import uuid
from collections.abc import Iterable

from driftline.demo.fleet import Kind
from driftline.sending import send
from schemas.cluster import Cluster
from schemas.operators import OperatorRequest

__all__ = ["CANARY_PERCENT", "file_plans"]

CANARY_PERCENT = 20


def file_plans(cluster: Cluster, kinds: Iterable[Kind], *, now_ms: int) -> None:
    """Have every model that reaches production go to a fifth of its devices first, then to all."""
    send(cluster, [("operators.requests", _asked_for(kind, now_ms)) for kind in kinds])


def _asked_for(kind: Kind, now_ms: int) -> OperatorRequest:
    plan = {
        "rollout": kind.name,
        "model": kind.model,
        "standing": True,
        "cohort": f'kind == "{kind.name}"',
        "strategy": {"kind": "canary", "percent": [CANARY_PERCENT, 100]},
        "limits": {
            "bake_s": 1,
            "device_bake_s": 1,
            "min_devices": 1,
            "concurrency": 10,
            "retries": 1,
            "backoff_s": 2,
        },
    }
    return OperatorRequest(
        request_id=str(uuid.uuid4()),
        subject=f"rollout/{kind.name}",
        action="start",
        who="demo",
        why=f"every new model of {kind.name} devices goes to a few of them first",
        at_ms=now_ms,
        arguments={"document": json.dumps(plan)},
    )
