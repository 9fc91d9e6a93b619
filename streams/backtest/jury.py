"""A jury: many policies that judge the same measurements, alert for alert as each would alone.

Policies differ only where evidence comes near what they bound: one look's part, the sum's ceiling, the level that an
alert takes. A healthy device is far from all of that, so it is weighed once for all of them, without bounds; a row
that comes near any bound is weighed for each policy apart until all of them agree on it again.
"""

from collections.abc import Mapping, Sequence

from schemas.columns import GridShape
from schemas.drift_alert import DriftAlert
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
        self._books = {name: AlertBook(policy_id=name) for name in policies}
        # By grid.
        self._panels: dict[str, list[Panel]] = {}
        self._judges: dict[str, dict[str, Judge]] = {}

    def judge(self, grid_id: str, shape: GridShape, measured: Sequence[Measured]) -> dict[str, list[DriftAlert]]:
        """Judge measurements of one engine in their order, and return the alerts that changed, by policy."""
        if grid_id not in self._panels:
            self._seat(grid_id, shape)
        told: dict[str, list[DriftAlert]] = {name: [] for name in self._policies}
        for one in measured:
            for panel in self._panels[grid_id]:
                panel.judge(one, told)
        for name, judge in self._judges[grid_id].items():
            told[name] += follow(self._books[name], judge.judge(measured))
        return told

    def _seat(self, grid_id: str, shape: GridShape) -> None:
        alike: dict[tuple[float, ...], dict[str, Rules]] = {}
        alone: dict[str, Judge] = {}
        for name, rules in self._policies.items():
            if rules.mode == Mode.THRESHOLDS or rules.overrides:
                alone[name] = Judge(rules, shape=shape)
                continue
            floors = rules.floors
            key = (need_of(rules, shape.bins), floors.missing_rate, floors.out_of_range, floors.unseen_category)
            alike.setdefault(key, {})[name] = rules
        self._judges[grid_id] = alone
        self._panels[grid_id] = [
            Panel(policies, {name: self._books[name] for name in policies}, shape) for policies in alike.values()
        ]
