"""What became of each training request, and what to do next.

It keeps these rules:

* a request is trained once: one that finished, failed for good, was cancelled or superseded is settled for ever;
* what needs a person's word waits for it, and holds up nothing else;
* a model rests between trainings, unless a person asks;
* of several waiting requests of machines for one model only the newest is worth training;
* an attempt that came to nothing is tried again, later each time, and only so often.

Everything here is rebuilt from topics; facts may arrive in any order and more than once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from schemas.training import TrainingCause, TrainingRequest

__all__ = [
    "AttemptFailed",
    "AttemptStarted",
    "Decided",
    "Fact",
    "Idle",
    "Ledger",
    "RequestFiled",
    "Settle",
    "Settled",
    "Step",
    "Train",
    "TrainingPolicy",
    "fold",
    "next_step",
]

_BY_PEOPLE = TrainingCause.PERSON


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPolicy:
    """How eagerly to train."""

    cool_down_ms: int = 6 * 3_600_000
    max_attempts: int = 3
    backoff_ms: int = 30_000
    timeout_ms: int = 3_600_000
    # Causes that wait for a person, whatever the request itself says.
    approve: frozenset[TrainingCause] = frozenset()


@dataclass(frozen=True, slots=True)
class RequestFiled:
    request: TrainingRequest


@dataclass(frozen=True, slots=True)
class Decided:
    """A person approved or cancelled."""

    request_id: str
    approved: bool
    by: str


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    request_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    request_id: str
    attempt: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Settled:
    """Nothing more happens to the request: it finished, failed, or was cancelled or superseded."""

    request_id: str
    how: str
    model: str
    at_ms: int


Fact = RequestFiled | Decided | AttemptStarted | AttemptFailed | Settled


@dataclass(frozen=True, slots=True)
class Entry:
    """One request; its facts may be known before itself."""

    request: TrainingRequest | None = None
    attempts: int = 0
    failed_attempts: int = 0
    failed_ms: int = 0
    approved: bool = False
    cancelled_by: str = ""
    settled: str = ""


@dataclass(frozen=True, slots=True)
class Ledger:
    entries: Mapping[str, Entry] = field(default_factory=dict)
    # When the last training of each model finished.
    finished_ms: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Train:
    """Begin an attempt, the first being 1."""

    request: TrainingRequest
    attempt: int


@dataclass(frozen=True, slots=True)
class Settle:
    """Write down that nothing more happens to the request, and why."""

    request: TrainingRequest
    how: str
    why: str


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing to do before this time, unless something arrives; None: not before something arrives."""

    until_ms: int | None = None


Step = Train | Settle | Idle


def fold(ledger: Ledger, fact: Fact) -> Ledger:
    """Return the ledger that knows this as well."""
    request_id = fact.request.request_id if isinstance(fact, RequestFiled) else fact.request_id
    entry = ledger.entries.get(request_id, Entry())
    match fact:
        case RequestFiled(request):
            # A repeat, altered or not, changes nothing.
            entry = replace(entry, request=entry.request or request)
        case Decided(approved=True):
            entry = replace(entry, approved=True)
        case Decided(by=by):
            entry = replace(entry, cancelled_by=by or "somebody")
        case AttemptStarted(attempt=attempt):
            entry = replace(entry, attempts=max(entry.attempts, attempt))
        case AttemptFailed(attempt=attempt, at_ms=at_ms):
            entry = replace(
                entry, failed_attempts=max(entry.failed_attempts, attempt), failed_ms=max(entry.failed_ms, at_ms)
            )
        case Settled(how=how):
            entry = replace(entry, settled=entry.settled or how)
    entries = {**ledger.entries, request_id: entry}
    if isinstance(fact, Settled) and fact.how == "finished":
        finished = max(ledger.finished_ms.get(fact.model, 0), fact.at_ms)
        return Ledger(entries, {**ledger.finished_ms, fact.model: finished})
    return replace(ledger, entries=entries)


def next_step(ledger: Ledger, policy: TrainingPolicy, *, now_ms: int) -> Step:
    """Return what to do, when nothing is being trained; an attempt that is under way is not asked about."""
    open_ = {key: entry for key, entry in ledger.entries.items() if entry.request is not None and not entry.settled}
    for entry in _in_order(open_):
        settle = _to_settle(entry, open_, policy)
        if settle is not None:
            return settle
    waits: list[int] = []
    for entry in _in_order(open_):
        request = _request(entry)
        if _awaits_approval(entry, policy):
            continue
        ready_ms = max(_rested_ms(ledger, request, policy), _backed_off_ms(entry, policy))
        if ready_ms <= now_ms:
            return Train(request, entry.attempts + 1)
        waits.append(ready_ms)
    return Idle(min(waits, default=None))


def _in_order(entries: Mapping[str, Entry]) -> list[Entry]:
    # People first, then who asked first.
    return sorted(
        entries.values(),
        key=lambda entry: (
            _request(entry).cause is not _BY_PEOPLE,
            _request(entry).requested_ms,
            _request(entry).request_id,
        ),
    )


def _to_settle(entry: Entry, open_: Mapping[str, Entry], policy: TrainingPolicy) -> Settle | None:
    request = _request(entry)
    if entry.cancelled_by:
        return Settle(request, "cancelled", f"cancelled by {entry.cancelled_by}")
    newer = _newer(request, open_)
    if newer is not None:
        return Settle(request, "superseded", f"superseded by request {newer.request_id}")
    if entry.attempts >= policy.max_attempts:
        return Settle(request, "failed", f"given up after {entry.attempts} attempts")
    return None


def _newer(request: TrainingRequest, open_: Mapping[str, Entry]) -> TrainingRequest | None:
    if request.cause is _BY_PEOPLE:
        return None
    others = [_request(entry) for entry in open_.values() if not entry.cancelled_by]
    newer = [
        other
        for other in others
        if other.model == request.model
        and other.cause is not _BY_PEOPLE
        and (other.requested_ms, other.request_id) > (request.requested_ms, request.request_id)
    ]
    return min(newer, key=lambda other: (other.requested_ms, other.request_id), default=None)


def _awaits_approval(entry: Entry, policy: TrainingPolicy) -> bool:
    request = _request(entry)
    return (request.needs_approval or request.cause in policy.approve) and not entry.approved


def _rested_ms(ledger: Ledger, request: TrainingRequest, policy: TrainingPolicy) -> int:
    finished = ledger.finished_ms.get(request.model)
    if finished is None or request.cause is _BY_PEOPLE:
        return 0
    return finished + policy.cool_down_ms


def _backed_off_ms(entry: Entry, policy: TrainingPolicy) -> int:
    if not entry.failed_attempts:
        return 0
    return entry.failed_ms + (policy.backoff_ms << entry.failed_attempts - 1)


def _request(entry: Entry) -> TrainingRequest:
    if entry.request is None:
        raise ValueError("an entry without its request")
    return entry.request
