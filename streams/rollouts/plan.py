"""Plans: what should be brought where, in which stages, watched how.

```toml
rollout = "bearings-14"
model = "bearings/14"
cohort = 'region == "us-east" and hw in ["rev2", "rev3"]'

[strategy]
kind = "canary"
percent = [1, 10, 100]

[limits]                  # every stage's, unless it says otherwise
bake_s = 600
failure_threshold = 0.05

[[stages]]                # changes to the first stage, then to the second …
approval = true

[gates.anomaly_rate]
max_rise = 1.0
```
"""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from streams.rollouts.cohort import EVERYBODY, Cohort, CohortError, parse_cohort
from streams.rollouts.documents import (
    AtLeast,
    OneOf,
    PlanError,
    Seconds,
    Share,
    canonical,
    check_unicode,
    checked,
    unknown_key,
)
from streams.rollouts.gates import GATES, Gate
from streams.rollouts.rings import NO_STAGE
from streams.rollouts.stages import Stage
from streams.rollouts.strategies import STRATEGIES, Strategy

__all__ = ["Freeze", "Plan", "Quarantine", "parse_plan"]

DAY_S = 86_400.0
# Device time, where a window is asked for and not named.
USUAL_WINDOW = "02:00-04:00"
_WINDOW = re.compile(r"(\d\d:\d\d)-(\d\d:\d\d)(?: +(\S+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """A stretch of the calendar in which nothing new is commanded; `begins` inclusive, `ends` exclusive, UTC."""

    begins_ms: int
    ends_ms: int
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """When devices of one kind are set apart because they fail as a class."""

    by: tuple[str, ...] = ("hw", "firmware")
    min_failures: Annotated[int, AtLeast(1)] = 3
    share: Share = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One plan, checked and complete."""

    rollout_id: str
    # name/version; of a standing plan the name alone.
    model: str
    stages: tuple[Stage, ...]
    cohort: Cohort = EVERYBODY
    rings: tuple[Cohort | None, ...] = ()
    gates: Mapping[str, Gate] = field(default_factory=dict)
    strategy: str = "canary"
    salt: str = ""
    stratify: tuple[str, ...] = ()
    priority: int = 0
    starts_ms: int = 0
    deadline_s: float = 7 * DAY_S
    offline_share: float = 0.1
    on_failure: str = "rollback"
    on_deadline: str = "rollback"
    quarantine: Quarantine | None = None
    freezes: tuple[Freeze, ...] = ()
    standing: bool = False
    auto_updates: bool = True
    # What the device does with it: its own bake, and before it a shadow run beside the active model; 0 for none.
    device_bake_s: float = 60.0
    device_shadow_s: float = 0.0
    document: str = "{}"

    def freeze_at(self, at_ms: int) -> Freeze | None:
        """Return the freeze in which a moment lies; of several the one that ends last."""
        freezes = [freeze for freeze in self.freezes if freeze.begins_ms <= at_ms < freeze.ends_ms]
        return max(freezes, key=lambda freeze: freeze.ends_ms, default=None)


def parse_plan(document: Mapping[str, Any]) -> Plan:
    """Check a plan's document and fill in what it leaves to the defaults.

    >>> plan = parse_plan({"rollout": "r7", "model": "bearings/14", "strategy": "all-at-once"})
    >>> [stage.name for stage in plan.stages], plan.stages[0].timeout_s
    (['all'], 1800.0)
    """
    check_unicode(document)
    for key in document:
        if key not in _KEYS:
            raise unknown_key(str(key), str(key), _KEYS)
    head = checked(_Head, {key: value for key, value in document.items() if key not in _OWN_TABLES})
    _check_names(head)
    kind, strategy = _strategy(document.get("strategy", "canary"))
    limits = _table(document, "limits")
    stages = _stages(strategy, limits, document.get("stages", []))
    rollout_limits = checked(_Limits, {key: value for key, value in limits.items() if key in _LIMITS}, "limits")
    return Plan(
        rollout_id=head.rollout,
        model=head.model,
        stages=stages,
        cohort=_cohort(document.get("cohort", "all"), "cohort"),
        rings=tuple(
            _cohort(stage.where, f"stages[{place}].where") if stage.where else None
            for place, stage in enumerate(stages)
        ),
        gates=_gates(_table(document, "gates")),
        strategy=kind,
        salt=head.salt or head.rollout,
        stratify=head.stratify,
        priority=head.priority,
        starts_ms=_moment(document.get("starts"), "starts"),
        deadline_s=rollout_limits.deadline_s,
        offline_share=rollout_limits.offline_share,
        on_failure=head.on_failure,
        on_deadline=head.on_deadline,
        quarantine=checked(Quarantine, document["quarantine"], "quarantine") if "quarantine" in document else None,
        freezes=_freezes(document.get("freeze", [])),
        standing=head.standing,
        auto_updates=head.auto_updates,
        device_bake_s=rollout_limits.device_bake_s,
        device_shadow_s=rollout_limits.device_shadow_s,
        document=canonical(document),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    rollout: str
    model: str
    salt: str = ""
    stratify: tuple[str, ...] = ()
    priority: Annotated[int, AtLeast(-1_000, 1_000)] = 0
    on_failure: Annotated[str, OneOf(("rollback", "pause"))] = "rollback"
    on_deadline: Annotated[str, OneOf(("rollback", "leave"))] = "rollback"
    standing: bool = False
    auto_updates: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    deadline_s: Annotated[float, AtLeast(1, 1e9)] = 7 * DAY_S
    offline_share: Share = 0.1
    device_bake_s: Seconds = 60.0
    device_shadow_s: Seconds = 0.0


_OWN_TABLES = {"strategy", "limits", "stages", "gates", "cohort", "starts", "freeze", "quarantine"}
_KEYS = [*(entry.name for entry in fields(_Head)), *sorted(_OWN_TABLES)]
_LIMITS = {entry.name for entry in fields(_Limits)}
_MAX_NAME = 200


def _check_names(head: _Head) -> None:
    if not 0 < len(head.rollout) <= _MAX_NAME or "/" in head.rollout or not _can_be_typed(head.rollout):
        raise PlanError("rollout", head.rollout, f"a name without '/', of 1 to {_MAX_NAME} characters that can be seen")
    name, slash, version = head.model.partition("/")
    if head.standing and (slash or not name):
        raise PlanError("model", head.model, "a model's name alone, as the plan is a standing one")
    if not head.standing and not (name and version):
        raise PlanError("model", head.model, "name/version")


def _can_be_typed(name: str) -> bool:
    """Say whether people can type what they see: nothing hidden, no space around it."""
    return name.isprintable() and name == name.strip()


def _table(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = document.get(key, {})
    if not isinstance(table, Mapping):
        raise PlanError(key, table, "a table")
    return table


def _strategy(said: Any) -> tuple[str, Strategy]:
    options = dict(said) if isinstance(said, Mapping) else {}
    kind = options.pop("kind", "canary") if isinstance(said, Mapping) else said
    if kind not in STRATEGIES:
        key = "strategy.kind" if isinstance(said, Mapping) else "strategy"
        raise PlanError(key, kind, f"one of {', '.join(STRATEGIES)}")
    return kind, checked(STRATEGIES[kind], options, "strategy")


def _stages(strategy: Strategy, limits: Mapping[str, Any], changes: Any) -> tuple[Stage, ...]:
    shapes = strategy.shapes()
    if not isinstance(changes, list) or len(changes) > len(shapes):
        raise PlanError("stages", changes, f"a list of at most {len(shapes)} tables, one for each stage")
    if len(shapes) >= NO_STAGE:
        raise PlanError("strategy", f"{len(shapes)} stages", f"fewer than {NO_STAGE}")
    common = _windowed({key: value for key, value in limits.items() if key not in _LIMITS})
    checked(Stage, common, "limits")
    stages = []
    for place, shape in enumerate(shapes):
        change = _windowed(changes[place] if place < len(changes) else {})
        key = f"stages[{place}]"
        checked(Stage, change, key)
        stages.append(checked(Stage, {**common, **shape, **change}, key))
    for stage in stages:
        _check_window(stage.window)
    return tuple(stages)


def _windowed(table: Any) -> Any:
    """Put the usual window where one is asked for and not named."""
    if not isinstance(table, Mapping) or not isinstance(table.get("window"), bool):
        return table
    return {**table, "window": USUAL_WINDOW if table["window"] else ""}


def _check_window(window: str) -> None:
    if not window:
        return
    found = _WINDOW.fullmatch(window)
    try:
        begins, ends = (dt.time.fromisoformat(part) for part in (found[1], found[2])) if found else (None, None)
        if found and found[3]:
            ZoneInfo(found[3])
    except (ValueError, OSError, ZoneInfoNotFoundError):
        begins = None
    if begins is None:
        wanted = "true, or device time as HH:MM-HH:MM with a time zone or without, such as 02:00-04:00"
        raise PlanError("window", window, wanted)
    if begins == ends:
        raise PlanError("window", window, "two different times")


def _cohort(source: Any, key: str) -> Cohort:
    if isinstance(source, list) and not all(isinstance(device, str) and device for device in source):
        raise PlanError(key, source, "a list of device ids")
    if not isinstance(source, list | str):
        raise PlanError(key, source, "an expression or a list of device ids")
    try:
        return parse_cohort(source)
    except CohortError as refused:
        raise PlanError(key, str(refused), "an expression over labels") from refused


def _gates(tables: Mapping[str, Any]) -> dict[str, Gate]:
    gates: dict[str, Gate] = {}
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            raise PlanError(f"gates.{name}", table, "a table")
        options = dict(table)
        kind = options.pop("kind", name)
        if kind not in GATES:
            raise PlanError(f"gates.{name}", kind, f"a gate's name, or `kind` as one of {', '.join(GATES)}")
        gates[name] = checked(GATES[kind], options, f"gates.{name}")
    return gates


def _moment(said: Any, key: str) -> int:
    """Return milliseconds since 1970; a time without a zone is UTC."""
    if said is None:
        return 0
    moment = said
    if isinstance(said, str):
        try:
            moment = dt.datetime.fromisoformat(said)
        except ValueError:
            raise PlanError(key, said, "a time such as 2026-11-21T20:00:00Z") from None
    if isinstance(moment, dt.date) and not isinstance(moment, dt.datetime):
        moment = dt.datetime.combine(moment, dt.time())
    if not isinstance(moment, dt.datetime):
        raise PlanError(key, said, "a time such as 2026-11-21T20:00:00Z")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return int(moment.timestamp() * 1_000)


def _freezes(said: Any) -> tuple[Freeze, ...]:
    if not isinstance(said, list):
        raise PlanError("freeze", said, "a list of tables with `begins` and `ends`")
    freezes = []
    for place, table in enumerate(said):
        key = f"freeze[{place}]"
        if not isinstance(table, Mapping) or not {"begins", "ends"} <= set(table) <= {"begins", "ends", "why"}:
            raise PlanError(key, table, "a table with `begins`, `ends` and perhaps `why`")
        begins, ends = _moment(table["begins"], f"{key}.begins"), _moment(table["ends"], f"{key}.ends")
        if ends <= begins:
            raise PlanError(f"{key}.ends", table["ends"], "a time after `begins`")
        why = table.get("why", "")
        if not isinstance(why, str):
            raise PlanError(f"{key}.why", why, "a text")
        freezes.append(Freeze(begins_ms=begins, ends_ms=ends, why=why))
    return tuple(freezes)
