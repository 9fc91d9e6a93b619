"""From a TOML document to rules."""

import tomllib
from dataclasses import replace
from typing import Any

from schemas.drift_alert import Severity
from schemas.section import Section
from streams.drift.policy.document import PolicyError, section_of
from streams.drift.policy.rules import (
    DEFAULT_LIMITS,
    Against,
    Budget,
    Floors,
    Life,
    Limit,
    Minimum,
    Mode,
    Objectives,
    Override,
    Reporting,
    Rules,
)
from streams.drift.scores import SCORES

__all__ = ["read_policy"]

MINUTE_MS = 60_000

# What devices of one partition, or workers among each other, must agree on.
_OF_ALL = ("reference", "horizons_minutes", "cohorts")

# Bounds that nobody who means it meets: they keep a slip, or malice, from taking a worker's memory and time.
_TEN_YEARS_MINUTES = 3653 * 24 * 60
_MOST_HORIZONS, _MOST_OVERRIDES, _MOST_COHORTS = 64, 5000, 64
_MOST = 1_000_000_000
# What a pending alert remembers of each, a bit.
_MOST_WINDOWS = 10_000
# What single precision holds, and a floor that nothing ever meets.
_LARGEST_LIMIT, _LARGEST_FLOOR = 1e30, 1e9

_SEVERITIES = ("low", "medium", "high", "critical")


def read_policy(document: str) -> Rules:
    """Read a policy; an empty document is the default policy.

    >>> read_policy('mode = "thresholds"').limits["psi"].high
    0.2
    >>> read_policy("[budget]\\nfalse_alarms_per_device_day = -1")
    Traceback (most recent call last):
    ...
    streams.drift.policy.document.PolicyError: policy: budget.false_alarms_per_device_day: found -1, wanted a number \
above 0, at most 100
    """
    try:
        values = tomllib.loads(document)
    except (ValueError, RecursionError) as error:
        raise PolicyError("document", str(error), "TOML") from None
    overrides = values.pop("override", [])
    # The health worker reads its own table of the same document.
    values.pop("health", None)
    rules = _rules(section_of(values))
    held = section_of({"override": overrides}).sections("override", many=_MOST_OVERRIDES)
    found = tuple(_override(section, values) for section in held)
    return replace(rules, overrides=found)


def _override(section: Section, base: dict[str, Any]) -> Override:
    model, cohort = section.text("model", "*"), section.text("cohort", "*")
    changes = section.table("rules")
    if changes is None:
        raise PolicyError(section.path_of("rules"), None, "a table of what is different")
    if "override" in changes:
        raise PolicyError(section.path_of("rules.override"), changes["override"], "no overrides of overrides")
    for name in _OF_ALL:
        if name in changes:
            raise PolicyError(section.path_of(f"rules.{name}"), changes[name], "nothing: it is the same for all")
    section.finish()
    return Override(
        model=model, cohort=cohort, rules=_rules(section_of(_merged(base, changes), section.path_of("rules")))
    )


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _rules(section: Section) -> Rules:
    rules = Rules(
        mode=section.choice("mode", Mode.CALIBRATED, (Mode.CALIBRATED, Mode.THRESHOLDS)),
        reference=section.choice("reference", Against.BASELINE, (Against.BASELINE, Against.SEASON, Against.EARLIER)),
        horizons_ms=_horizons(section),
        budget=_budget(section.section("budget")),
        minimum=_minimum(section.section("minimum")),
        floors=_floors(section.section("floors")),
        limits=_limits(section),
        alert_from=Severity(section.choice("alert_from", "high", _SEVERITIES)),
        reporting=_reporting(section.section("reporting")),
        life=_life(section.section("alerts")),
        objectives=_objectives(section.section("objectives")),
        cohorts=_cohorts(section),
    )
    strange = [ms // MINUTE_MS for ms in rules.life.horizons_ms if ms not in rules.horizons_ms]
    if strange:
        known = [ms // MINUTE_MS for ms in rules.horizons_ms]
        raise PolicyError(section.path_of("alerts.horizons_minutes"), strange, f"some of horizons_minutes ({known})")
    section.finish()
    return rules


def _horizons(section: Section) -> tuple[int, ...]:
    minutes = _minutes(section, (15, 60, 24 * 60, 7 * 24 * 60))
    if list(minutes) != sorted(set(minutes)):
        raise PolicyError(section.path_of("horizons_minutes"), list(minutes), "rising values")
    return tuple(minute * MINUTE_MS for minute in minutes)


def _minutes(section: Section, default: tuple[int, ...]) -> tuple[int, ...]:
    return section.wholes("horizons_minutes", default, most=_TEN_YEARS_MINUTES, many=_MOST_HORIZONS)


def _objectives(section: Section) -> Objectives:
    def promised(name: str, *, at_most: float) -> float | None:
        return section.number(name, 0.0, above=0, at_most=at_most) if name in section.names() else None

    default = Objectives()
    objectives = Objectives(
        false_alarms_per_device_day=promised("false_alarms_per_device_day", at_most=100),
        confidence=promised("confidence", at_most=1),
        unsure_windows=section.number("unsure_windows", default.unsure_windows, above=0, at_most=1),
    )
    section.finish(also=("false_alarms_per_device_day", "confidence"))
    return objectives


def _alerting(section: Section) -> tuple[int, ...]:
    if "horizons_minutes" not in section.names():
        return ()
    return tuple(minute * MINUTE_MS for minute in _minutes(section, ()))


def _cohorts(section: Section) -> tuple[str, ...]:
    found = section.raw("cohorts", list(Rules().cohorts))
    if not isinstance(found, list) or not all(isinstance(one, str) and one for one in found):
        raise PolicyError(section.path_of("cohorts"), found, "a list of label names")
    if len(found) > _MOST_COHORTS:
        raise PolicyError(section.path_of("cohorts"), len(found), f"at most {_MOST_COHORTS} of them")
    return tuple(found)


def _budget(section: Section) -> Budget:
    default = Budget()
    budget = Budget(
        false_alarms_per_device_day=section.number(
            "false_alarms_per_device_day", default.false_alarms_per_device_day, above=0, at_most=100
        ),
        window_share=section.number("window_share", default.window_share, above=0, at_most=1),
    )
    section.finish()
    return budget


def _minimum(section: Section) -> Minimum:
    default = Minimum()
    minimum = Minimum(
        samples=section.whole("samples", default.samples, least=2, most=_MOST),
        per_bin=section.whole("per_bin", default.per_bin, most=_MOST),
    )
    section.finish()
    return minimum


def _floors(section: Section) -> Floors:
    default = Floors()
    floors = Floors(
        mean_shift=section.number("mean_shift", default.mean_shift, above=0, at_most=_LARGEST_FLOOR),
        variance_ratio=section.number("variance_ratio", default.variance_ratio, above=1, at_most=_LARGEST_FLOOR),
        psi=section.number("psi", default.psi, above=0, at_most=_LARGEST_FLOOR),
        missing_rate=section.number("missing_rate", default.missing_rate, above=0, at_most=1),
        out_of_range=section.number("out_of_range", default.out_of_range, above=0, at_most=1),
        unseen_category=section.number("unseen_category", default.unseen_category, above=0, at_most=1),
    )
    section.finish()
    return floors


def _limits(section: Section) -> dict[str, Limit]:
    table = section.section("limits")
    limits = dict(DEFAULT_LIMITS)
    for name in table.names():
        if name not in SCORES:
            raise PolicyError(table.path_of(name), name, f"a score; known: {', '.join(sorted(SCORES))}")
        limits[name] = _limit(table.section(name), DEFAULT_LIMITS.get(name, Limit()))
    table.finish()
    return limits


def _limit(section: Section, default: Limit) -> Limit:
    given = section.names()
    steps = {
        name: section.number(name, 0.0, above=-_LARGEST_LIMIT, at_most=_LARGEST_LIMIT)
        for name in _SEVERITIES
        if name in given
    }
    if not steps:
        raise PolicyError(section.path_of("high"), None, "at least one of low, medium, high, critical")
    if list(steps.values()) != sorted(steps.values(), reverse=default.below):
        raise PolicyError(section.path_of(next(iter(steps))), steps, "limits that grow graver from low to critical")
    section.finish(also=_SEVERITIES)
    return Limit(**steps, below=default.below, either_way=default.either_way)


def _reporting(section: Section) -> Reporting:
    default = Reporting()
    reporting = Reporting(
        psi=section.number("psi", default.psi, above=0, at_most=_LARGEST_FLOOR),
        ks=section.number("ks", default.ks, above=0, at_most=_LARGEST_FLOOR),
        complete_every=section.whole("complete_every", default.complete_every, least=1, most=_MOST),
    )
    section.finish()
    return reporting


def _life(section: Section) -> Life:
    default = Life()
    life = Life(
        breaches=section.whole("breaches", default.breaches, least=1, most=_MOST_WINDOWS),
        of_windows=section.whole("of_windows", default.of_windows, least=1, most=_MOST_WINDOWS),
        resolve_after_windows=section.whole(
            "resolve_after_windows", default.resolve_after_windows, least=1, most=_MOST
        ),
        flap_ms=section.whole("flap_minutes", default.flap_ms // MINUTE_MS, most=_MOST) * MINUTE_MS,
        escalate_after_ms=section.whole("escalate_after_minutes", default.escalate_after_ms // MINUTE_MS, most=_MOST)
        * MINUTE_MS,
        group_from=section.whole("group_from", default.group_from, least=2, most=_MOST),
        horizons_ms=_alerting(section),
    )
    if life.breaches > life.of_windows:
        raise PolicyError(section.path_of("breaches"), life.breaches, f"at most of_windows ({life.of_windows})")
    section.finish()
    return life
