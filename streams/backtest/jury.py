"""A jury: many policies that judge the same measurements, alert for alert as each would alone.

Overrides are resolved first: what is judged together are devices for which each policy has one set of rules.
"""

from collections.abc import Mapping, Sequence

from schemas.columns import GridShape
from schemas.drift_alert import DriftAlert
from streams.backtest.limits_panel import LimitsPanel
from streams.backtest.panel import Panel
from streams.drift.alerts import AlertBook
from streams.drift.following import follow
from streams.drift.judge import Judge, need_of
from streams.drift.measured import Measured
from streams.drift.policy import Mode, Rules

__all__ = ["Jury"]


class Jury:
    """Policies by name, with the alerts that each has open."""

    def __init__(self, policies: Mapping[str, Rules]) -> None:
        self._policies = dict(policies)
        # Alerts do not name the policy: those of many are one and the same.
        self._books = {name: AlertBook() for name in policies}
        # By grid, and by the rules that hold for some devices: overrides may differ from model to model.
        self._benches: dict[tuple[str, tuple[int, ...]], _Bench] = {}
        self._bench_of: dict[tuple[str, str, tuple[tuple[str, str], ...]], _Bench] = {}

    def judge(self, grid_id: str, shape: GridShape, measured: Sequence[Measured]) -> dict[str, list[DriftAlert]]:
        """Judge measurements of one engine in their order, and return the alerts that changed, by policy."""
        told: dict[str, list[DriftAlert]] = {name: [] for name in self._policies}
        for one in measured:
            model_id, labels = one.group.against.model_id, one.group.labels
            key = (grid_id, model_id, tuple(sorted(labels.items())))
            if key not in self._bench_of:
                self._bench_of[key] = self._bench(grid_id, shape, model_id, labels)
            self._bench_of[key].judge(one, told)
        return told

    def _bench(self, grid_id: str, shape: GridShape, model_id: str, labels: Mapping[str, str]) -> "_Bench":
        rules = {name: one.for_device(model_id, labels) for name, one in self._policies.items()}
        key = (grid_id, tuple(map(_override, self._policies.values(), rules.values())))
        if key not in self._benches:
            self._benches[key] = _Bench(rules, self._books, shape)
        return self._benches[key]


def _override(policy: Rules, rules: Rules) -> int:
    """Return which of a policy's overrides some rules are; -1 for the policy's own."""
    return next((place for place, one in enumerate(policy.overrides) if one.rules is rules), -1)


class _Bench:
    """Those who judge some devices: panels of calibrated policies, and one of those that have fixed limits."""

    def __init__(self, policies: Mapping[str, Rules], books: Mapping[str, AlertBook], shape: GridShape) -> None:
        alike: dict[tuple[float, ...], dict[str, Rules]] = {}
        limited: dict[str, Rules] = {}
        self._books = books
        # What lies beyond the first horizon comes seldom: there each judges for itself.
        self._beyond = {name: Judge(rules, shape=shape) for name, rules in policies.items()}
        for name, rules in policies.items():
            if not rules.alerts_on(rules.horizons_ms[0]):
                continue
            if rules.mode == Mode.THRESHOLDS:
                limited[name] = rules
                continue
            floors = rules.floors
            key = (need_of(rules, shape.bins), floors.missing_rate, floors.out_of_range, floors.unseen_category)
            alike.setdefault(key, {})[name] = rules
        self._panels: list[Panel | LimitsPanel] = [Panel(some, books, shape) for some in alike.values()]
        if limited:
            self._panels.append(LimitsPanel(limited, books, shape))

    def judge(self, measured: Measured, told: dict[str, list[DriftAlert]]) -> None:
        if measured.alone is None:
            for panel in self._panels:
                panel.judge(measured, told)
            return
        for name, judge in self._beyond.items():
            if judge.rules.alerts_on(measured.horizon_ms):
                told[name] += follow(self._books[name], judge.judge([measured]))
