"""Operators: what people ask for is carried out once, or refused with its reason in the audit log."""

import json
from collections import Counter
from dataclasses import replace

from schemas.drift_alert import AlertState
from schemas.errors import DriftlineError
from schemas.operators import OperatorRequest
from streams.rollouts import alerts
from streams.rollouts.docket import Docket
from streams.rollouts.fleet import Fleet
from streams.rollouts.intake import Intake
from streams.rollouts.journal import WHO, Journal
from streams.rollouts.requests import RequestError, change_device, event_of

__all__ = ["Operators"]

# Requests that are remembered, so that a repeat is done once.
MOST_REQUESTS = 100_000


class Operators:
    def __init__(self, docket: Docket, intake: Intake, fleet: Fleet, journal: Journal, ignored: Counter[str]) -> None:
        self._docket, self._intake, self._fleet = docket, intake, fleet
        self._journal, self._ignored = journal, ignored
        self._seen: dict[str, None] = {}

    def take(self, request: OperatorRequest, now_ms: int) -> None:
        """Do what is asked of rollouts, devices and the controller's own alerts; all else is for others."""
        kind, _, name = request.subject.partition("/")
        if kind not in ("rollout", "device", "alert"):
            return
        if request.request_id in self._seen:
            self._ignored["repeated request"] += 1
            return
        self._seen[request.request_id] = None
        if len(self._seen) > MOST_REQUESTS:
            del self._seen[next(iter(self._seen))]
        try:
            self._carry_out(kind, name, request, now_ms)
        except DriftlineError as refused:
            asked_by = {"asked_by": request.who}
            self._journal.audit(request.subject, f"refused to {request.action}", WHO, str(refused), asked_by)

    def _carry_out(self, kind: str, name: str, request: OperatorRequest, now_ms: int) -> None:
        if kind == "device":
            before = self._fleet.get(name)
            after = change_device(self._fleet, name, request, now_ms)
            action = f"{request.action} done"
            self._journal.audit(request.subject, action, request.who, request.why, request.arguments)
            self._docket.settle_membership(before, after, now_ms)
        elif kind == "alert":
            self._acknowledge(name, request, now_ms)
        elif request.action == "start":
            self._start(name, request, now_ms)
        elif name in self._docket:
            self._docket.tell(name, event_of(request, now_ms))
        elif self._intake.knows(name):
            raise RequestError(f"rollout {name!r} was settled and put away; start its plan under another name")
        else:
            raise RequestError(f"no rollout {name!r} is known")

    def _start(self, rollout_id: str, request: OperatorRequest, now_ms: int) -> None:
        try:
            document = json.loads(request.arguments.get("document", ""))
        except (ValueError, RecursionError) as error:
            raise RequestError(f"the plan is no JSON: {error}") from error
        if not isinstance(document, dict) or document.get("rollout") != rollout_id:
            raise RequestError(f"the plan is not that of rollout {rollout_id!r}")
        self._intake.submit(document, who=request.who, why=request.why, now_ms=now_ms)

    def _acknowledge(self, alert_id: str, request: OperatorRequest, now_ms: int) -> None:
        if not alert_id.startswith(alerts.OWN):
            return
        alert = self._journal.alerts.get(alert_id)
        if alert is None or alert.state is not AlertState.FIRING or request.action != "acknowledge":
            raise RequestError(f"alert {alert_id!r} does not fire, or {request.action!r} is not for it")
        self._journal.put_alert(replace(alert, state=AlertState.ACKNOWLEDGED, changed_ms=now_ms, by=request.who))
        self._journal.audit(request.subject, "acknowledged", request.who, request.why)
