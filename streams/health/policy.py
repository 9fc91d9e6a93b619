"""How model health is watched: the `[health]` table of a policy document.

[health]
warm_up_windows = 30            # windows of a new model that say what is normal on its device
memory_windows = 512            # what a detector remembers, at least

[health.anomaly_rate]           # one table for each series that should differ from the default
detector = "page_hinkley"       # or "off"
parameters = { threshold = 20 } # River's own
min_shift = 1.0                 # in standard deviations of the warm-up; less is nobody's concern

[health.limits]                 # plain limits beside the detectors
accuracy = 0.05                 # a loss of so much
latency_ms = 0.2                # a rise by such a share

[health.estimated]              # accuracy without labels, from the model's own confidence
trust = "measured"              # only where labels have shown the confidence to be true; or "always", "never"
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.section import Section
from streams.drift.policy.document import PolicyError, section_of
from streams.health.detectors import DETECTORS, DetectorSpec
from streams.health.limit import LIMITED, Limit
from streams.health.series import SERIES
from streams.health.watch import WatchPolicy

__all__ = ["HealthPolicy", "read_health_policy"]

_OFF = "off"
# Far beyond what anybody waits for, or keeps of a device.
_MOST_KEPT, _TEN_YEARS_MS = 10_000_000, 3653 * 24 * 3_600_000
_DEFAULT_DETECTOR = "adwin"


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """What is watched, and how; a series that is in neither mapping is not watched."""

    watches: Mapping[str, WatchPolicy]
    limits: Mapping[str, Limit]
    # Late labels: how long predictions wait for them, and how many outcomes say what a model is worth.
    label_wait_ms: int = 7 * 24 * 3_600_000
    outcomes: int = 200
    most_waiting: int = 100_000
    # Whose confidences estimates are made from: of whom labels showed them to be true, of all, or of nobody.
    trust: str = "measured"


def read_health_policy(document: str) -> HealthPolicy:
    """Read the `[health]` table of a policy document; without one, the defaults hold.

    >>> sorted(read_health_policy("").limits)
    ['accuracy', 'estimated_accuracy', 'estimated_precision', 'estimated_recall', 'latency_ms', 'precision', 'recall']
    >>> read_health_policy('[health.latency_ms]\\ndetector = "adwim"')
    Traceback (most recent call last):
    ...
    streams.drift.policy.document.PolicyError: policy: health.latency_ms.detector: found 'adwim', wanted one of \
adwin, ddm, eddm, hddm_a, hddm_w, kswin, off, page_hinkley
    """
    try:
        section = section_of(tomllib.loads(document)).section("health")
    except (ValueError, RecursionError) as error:
        raise PolicyError("document", str(error), "TOML") from None
    warm_up = section.whole("warm_up_windows", 30, least=2, most=_MOST_KEPT)
    memory = section.whole("memory_windows", 512, least=50, most=_MOST_KEPT)
    watches = {name: watch for name in SERIES if (watch := _watch(section.section(name), warm_up, memory)) is not None}
    estimated = section.section("estimated")
    trust = estimated.choice("trust", "measured", ("measured", "always", "never"))
    estimated.finish()
    policy = HealthPolicy(
        watches=watches,
        trust=trust,
        limits=_limits(section.section("limits")),
        label_wait_ms=section.whole("label_wait_ms", 7 * 24 * 3_600_000, least=1, most=_TEN_YEARS_MS),
        outcomes=section.whole("outcomes", 200, least=10, most=_MOST_KEPT),
        most_waiting=section.whole("most_waiting", 100_000, least=1, most=1_000_000_000),
    )
    section.finish()
    return policy


def _watch(section: Section, warm_up: int, memory: int) -> WatchPolicy | None:
    detector = section.choice("detector", _DEFAULT_DETECTOR, (*sorted([*DETECTORS, _OFF]),))
    parameters = section.section("parameters")
    spec = (
        None if detector == _OFF else DetectorSpec(detector, {n: parameters.number(n, 0.0) for n in parameters.names()})
    )
    standardise = section.truth("standardise", default=True)
    min_shift = section.number("min_shift", 1.0, above=0.0)
    bad_above = section.number("bad_above", 2.0, above=0.0)
    recent = section.whole("recent_windows", 10, least=1, most=_MOST_KEPT)
    section.finish()
    if spec is None:
        return None
    return WatchPolicy(
        detector=spec,
        warm_up=warm_up,
        standardise=standardise,
        min_shift=min_shift,
        recent=recent,
        bad_above=bad_above,
        memory=memory,
    )


def _limits(section: Section) -> Mapping[str, Limit]:
    limits = {}
    for name, default in LIMITED.items():
        by = section.number(name, default.by)
        if by < 0.0:
            raise PolicyError(section.path_of(name), by, "a number, 0 or more; 0 is no limit")
        if by > 0.0:
            limits[name] = default.of(by)
    section.finish()
    return limits
