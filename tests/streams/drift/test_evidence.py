"""Evidence and verdicts: what is proven in how many looks, and what never is."""

import math
from typing import NamedTuple

import numpy as np
import pytest

from streams.drift.calibration import credit, look_budget, needed
from streams.drift.evidence import COMPONENTS, Kind, Look, bars_of, parts_of
from streams.drift.kernels.weigh import add_look, correct_effects, judge_levels
from streams.drift.policy import Floors
from streams.drift.verdicts import Found, Grade

PARTS = parts_of(Floors())
MINUTE_BUDGET = look_budget(0.001, np.array([60_000.0]))


class Gathered(NamedTuple):
    """The evidence on one device: components × features."""

    sums: np.ndarray
    run: np.ndarray
    level: np.ndarray
    effect: np.ndarray


def look(features=4, **scores):
    """A look in which everything is quiet but what is named: kind=(score, effect) of feature 0."""
    score, effect = np.zeros((2, len(Kind), features), np.float32)
    for kind, (z, size) in scores.items():
        score[Kind[kind.upper()], 0], effect[Kind[kind.upper()], 0] = z, size
    return Look(score=score, effect=effect)


def after(*looks, features=4):
    """Gather with the steps of which the loops are made."""
    bars = bars_of(MINUTE_BUDGET, features, share=0.8)
    sums, run, run_effect, level, effect = np.zeros((5, len(COMPONENTS), features), np.float32)
    for one in looks:
        bar = np.float32(bars.drift[0])
        add_look(sums, run, run_effect, one.score, one.effect, bars.cap[0], bar, PARTS, level)
        correct_effects(run, run_effect, one.score, one.effect, PARTS, effect)
    return Gathered(sums, run, level, effect)


def judged(gathered):
    features = gathered.level.shape[1]
    bars, found = bars_of(MINUTE_BUDGET, features), Found(*np.zeros((3, features), np.uint8))
    judge_levels(
        gathered.level, gathered.effect, PARTS.kind, PARTS.floor, bars.drift[0], bars.warning[0], found.grade,
        found.kind, found.severity,
    )  # fmt: skip
    return found


def grades(*looks):
    return judged(after(*looks)).grade.tolist()


def test_one_look_never_alerts_however_loud():
    loud = look(mean_up=(60.0, 3.0), shape=(60.0, 4.0), missing=(60.0, 0.9), spread_up=(60.0, 3.0))

    assert grades(loud) == [Grade.WARNING, Grade.STABLE, Grade.STABLE, Grade.STABLE]
    assert grades(loud, loud)[0] == Grade.DRIFT


def test_a_proven_effect_below_its_floor_is_nobodys_concern():
    assert grades(*[look(mean_up=(8.0, 0.10))] * 9)[0] == Grade.STABLE
    assert grades(*[look(mean_up=(8.0, 0.30))] * 9)[0] == Grade.DRIFT


def test_the_part_of_an_effect_that_is_not_sure_is_taken_off():
    # Seen once, an effect of 0.2 with a z of 5: 0.2 squared less 0.04 squared, and two errors of 0.04.
    assert after(look(mean_up=(5.0, 0.2))).effect[2, 0] == pytest.approx(0.116, abs=1e-3)
    # With a z of 1.25 it may as well be nothing.
    assert after(look(mean_up=(1.25, 0.2))).effect[2, 0] == 0


def test_an_effect_that_reaches_its_floor_by_luck_waits_until_it_is_sure():
    some = look(mean_up=(4.0, 0.17))

    reached = [grades(*[some] * n)[0] == Grade.DRIFT for n in range(1, 40)]

    # After so many looks the error is a sixteenth of the effect.
    assert 14 < reached.index(True) < 25


def test_small_shifts_add_up():
    some = look(mean_up=(1.7, 0.3))

    reached = [grades(*[some] * n)[0] == Grade.DRIFT for n in range(1, 25)]

    assert 10 < reached.index(True) < 18


def test_looks_without_evidence_let_it_fall_back():
    loud, quiet = look(mean_up=(4.5, 0.3)), look(mean_up=(-0.5, 0.0))

    assert after(loud, *[quiet] * 30).sums[:4].max() == 0
    assert grades(loud, *[quiet] * 30, loud)[0] != Grade.DRIFT


def test_evidence_that_has_long_been_enough_ends_soon_after_its_cause():
    loud, quiet = look(mean_up=(9.0, 0.5)), look(mean_up=(0.0, 0.0))

    assert grades(*[loud] * 500, *[quiet] * 12)[0] < Grade.DRIFT


def test_a_look_without_values_leaves_evidence_as_it_is():
    loud = look(mean_up=(4.0, 0.3))
    nothing = Look(score=np.full_like(loud.score, np.nan), effect=np.full_like(loud.effect, np.nan))

    one, other = after(loud), after(loud, nothing)

    np.testing.assert_array_equal(one.sums, other.sums)
    np.testing.assert_array_equal(one.run, other.run)


def test_a_dead_sensors_infinite_effect_does_not_spoil_the_run():
    gathered = after(*[look(spread_down=(50.0, 30.0))] * 3)

    assert np.isfinite(gathered.effect).all()
    found = judged(gathered)
    assert (found.grade[0], found.kind[0], found.severity[0]) == (Grade.DRIFT, Kind.SPREAD_DOWN, 4)


@pytest.mark.parametrize(("effect", "severity"), [(0.2, 1), (0.35, 2), (0.7, 3), (1.5, 4)])
def test_severity_is_told_by_the_effect_in_floors(effect, severity):
    found = judged(after(*[look(mean_down=(40.0, effect))] * 3))

    assert found.severity[0] == severity


def levels(*values):
    """Evidence at these levels, all of it with effects large enough."""
    level = np.zeros((len(COMPONENTS), len(values)), np.float32)
    level[0] = values
    return Gathered(sums=level, run=level, level=level, effect=np.full_like(level, 9.0))


def test_many_features_together_need_less_each():
    bar = float(needed(MINUTE_BUDGET, 4)[0])

    alone = judged(levels(bar - 0.1, 0, 0, 0)).grade
    pair = judged(levels(bar - 0.1, bar - math.log(2) + 0.01, 0, 0)).grade

    assert alone.tolist().count(Grade.DRIFT) == 0
    assert pair.tolist().count(Grade.DRIFT) == 2


def test_the_rule_of_benjamini_and_hochberg_by_hand():
    rng = np.random.default_rng(2)
    for _ in range(300):
        values = rng.uniform(11, 17, 6).astype(np.float32)
        found = judged(levels(*values)).grade == Grade.DRIFT

        bars = needed(MINUTE_BUDGET, 6)[0] - np.log(np.arange(1, 7))
        ranks = [k for k in range(1, 7) if np.sort(values)[::-1][k - 1] >= bars[k - 1]]
        expected = values >= bars[max(ranks) - 1] if ranks else np.zeros(6, bool)
        np.testing.assert_array_equal(found, expected)


def test_the_shares_of_the_budget_make_a_whole():
    assert sum(component.share for component in COMPONENTS) == pytest.approx(1)
    assert {component.kind for component in COMPONENTS} == set(Kind)


@pytest.mark.parametrize("step", [1.2, 2.5, 3.4])
def test_the_credit_is_what_a_cusum_of_normal_scores_earns(step):
    """A height of 5 by the bound is reached once in exp(5) looks; measured, once in exp(5 + credit)."""
    rng = np.random.default_rng(5)
    sums, alarms, looks = np.zeros(20_000), 0, 0
    for _ in range(600):
        sums = np.maximum(sums + step * rng.normal(size=sums.size) - step * step / 2, 0)
        over = sums >= 5
        alarms, looks = alarms + over.sum(), looks + sums.size
        sums[over] = 0

    assert math.log(looks / alarms) == pytest.approx(5 + credit(step), abs=0.25)
