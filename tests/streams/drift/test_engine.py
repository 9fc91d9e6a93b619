"""The engine's rules: once, in its own pane, whatever the batches; silence, late windows, changes of model."""

from itertools import pairwise

import numpy as np
import pytest
from drift_fleet import MINUTE_MS, START_MS, Fleet, boot_of, columns_of
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.drift_alert import AlertState
from schemas.drift_scores import Verdict
from streams.drift.alerts import AlertBook
from streams.drift.engine import Engine
from streams.drift.following import follow
from streams.drift.judge import Judge, needs_of
from streams.drift.measured import Group
from streams.drift.partition import Partition, Stretch
from streams.drift.policy import PolicyError, read_policy
from streams.drift.references import lay_out

HOUR_MS = 60 * MINUTE_MS


class Bench:
    """A partition that is fed windows, and everything that it said."""

    def __init__(self, fleet, policy=""):
        self.fleet, self.rules = fleet, read_policy(policy)
        self.partition = Partition(self.rules)
        self.against = {fleet.model_id: lay_out(fleet.grid, fleet.baseline)}
        self.scores, self.alerts, self.rollups, self.offset = [], [], [], 0
        self.tally = {}

    def feed(self, stats, *, arrivals_ms=None):
        windows = columns_of(stats, self.fleet.shape, first_offset=self.offset, arrivals_ms=arrivals_ms)
        self.offset += len(stats)
        models = sorted(self.against)
        groups = [Group(self.against[model]) for model in models]
        which = np.array([models.index(model) for model in windows.model_id])
        outcome = self.partition.work([Stretch(windows, groups, which)])
        self.scores += outcome.scores
        self.alerts += outcome.alerts
        self.rollups += outcome.rollups
        for name, value in vars(outcome.tally).items():
            self.tally[name] = self.tally.get(name, 0) + value
        return outcome

    def engine(self):
        return self.partition.engines[self.fleet.grid.grid_id]

    def baseline_of(self, device):
        engine = self.engine()
        return engine.baselines[engine.arrays["baseline"].rows[engine.presence.roster.row_of[device]]]

    def judge(self):
        return self.partition.judges[self.fleet.grid.grid_id]


FLEET = Fleet(samples=200)


def minutes(device, count, *, first=0, shift=0.0, fleet=FLEET, **more):
    return [
        fleet.window(device, minute, values=fleet.readings(shift=shift), **more)
        for minute in range(first, first + count)
    ]


def mixed_stream(seed):
    """Devices that drift, repeat, come late and fall silent, as they might arrive within six hours."""
    rng = np.random.default_rng(seed)
    arriving = []
    for device in ("a", "b", "c"):
        for window in minutes(device, 40, shift=0.0) + minutes(device, 20, first=40, shift=0.6 if device == "a" else 0):
            delay_ms = int(rng.choice([1, 1, 1, 1, 20, 200])) * MINUTE_MS // 4
            arriving.append((window.window_end_ms + delay_ms, window))
            if rng.random() < 0.1:
                arriving.append((window.window_end_ms + 2 * delay_ms, window))
    arriving += [(window.window_end_ms + 1000, window) for window in minutes("a", 30, first=200)]
    arriving.sort(key=lambda two: two[0])
    return [window for _, window in arriving], [at_ms for at_ms, _ in arriving]


STREAMS = {seed: mixed_stream(seed) for seed in range(3)}


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(sorted(STREAMS)), st.sets(st.integers(1, 190), max_size=25))
def test_nothing_depends_on_how_the_stream_is_cut_into_runs(seed, cuts):
    stats, arrivals_ms = STREAMS[seed]
    policy = "[reporting]\npsi = 0.02\ncomplete_every = 7\n[alerts]\nresolve_after_windows = 3"
    whole, cut = Bench(FLEET, policy), Bench(FLEET, policy)
    whole.feed(stats, arrivals_ms=arrivals_ms)

    for first, end in pairwise([0, *sorted(cuts), len(stats)]):
        cut.feed(stats[first:end], arrivals_ms=arrivals_ms[first:end])

    assert whole.alerts
    assert len(whole.rollups) > 3
    assert cut.scores == whole.scores
    assert cut.alerts == whole.alerts
    assert cut.rollups == whole.rollups
    assert cut.tally == whole.tally


def test_a_device_alone_gets_what_it_gets_among_others():
    stats, arrivals_ms = STREAMS[0]
    crowd, alone = Bench(FLEET), Bench(FLEET)

    crowd.feed(stats, arrivals_ms=arrivals_ms)
    mine = [i for i, one in enumerate(stats) if one.device_id == "a"]
    alone.feed([stats[i] for i in mine], arrivals_ms=[arrivals_ms[i] for i in mine])

    assert [one for one in crowd.alerts if one.subject == "a"] == alone.alerts
    fast = [one for one in crowd.scores if one.device_id == "a" and one.horizon_ms <= HOUR_MS]
    assert fast == [one for one in alone.scores if one.horizon_ms <= HOUR_MS]


def test_a_window_counts_once_however_often_it_comes():
    once, often = Bench(FLEET), Bench(FLEET)
    stats = minutes("a", 10)

    once.feed(stats)
    often.feed(stats)
    often.feed(stats)
    often.feed(stats[::-1])

    assert often.scores == once.scores
    assert often.tally["repeated"] == 20


def test_the_same_seq_of_another_boot_is_another_window():
    bench = Bench(FLEET)

    bench.feed(minutes("a", 2))
    bench.feed([FLEET.window("a", 2 + minute, seq=minute, boot=boot_of("a", 1)) for minute in range(2)])

    assert bench.tally["repeated"] == 0
    assert bench.tally["judged"] == 4


def test_a_late_window_lands_in_its_own_pane():
    bench = Bench(FLEET, "[reporting]\ncomplete_every = 1")
    stats = minutes("a", 12)

    bench.feed(stats[:5] + stats[6:] + [stats[5]])

    last = bench.scores[-1]
    assert last.samples == 12 * FLEET.samples
    assert bench.tally["late"] == 0


def test_a_window_older_than_the_ring_is_rolled_up_and_not_judged():
    bench = Bench(FLEET)
    stats = minutes("a", 1) + minutes("a", 1, first=120)

    bench.feed(stats[::-1], arrivals_ms=[stats[1].window_end_ms] * 2)
    bench.feed(minutes("a", 1, first=180))

    assert bench.tally["late"] == 1
    assert [one.window_start_ms for one in bench.rollups] == [START_MS, START_MS + 2 * HOUR_MS]


def test_too_few_samples_are_not_enough_data_and_never_stable():
    few = Fleet(samples=20)
    bench = Bench(few, "[reporting]\ncomplete_every = 1")

    bench.feed(minutes("a", 4, fleet=few))
    verdicts = {one.verdict for record in bench.scores for one in record.features}
    bench.feed(minutes("a", 1, first=4, fleet=few))

    assert verdicts == {Verdict.NOT_ENOUGH_DATA}
    # Five windows of 20 make the 100 that a look takes.
    assert bench.scores[-1].verdict is Verdict.STABLE


def test_small_windows_are_put_together_until_they_tell():
    few = Fleet(samples=20)
    bench = Bench(few)

    bench.feed(minutes("a", 60, shift=1.0, fleet=few))

    assert {one.kind for one in bench.alerts} == {"mean_shift"}


def test_a_feature_with_few_values_is_not_enough_data_beside_features_that_have_some():
    bench = Bench(FLEET, "[reporting]\ncomplete_every = 1\n[floors]\nmissing_rate = 1.0")
    values = FLEET.readings()
    values[:180, 1] = np.nan

    bench.feed([FLEET.window("a", minute, values=values) for minute in range(3)])

    verdicts = {one.feature: one.verdict for one in bench.scores[-1].features}
    assert verdicts == {"f0": Verdict.STABLE, "f1": Verdict.NOT_ENOUGH_DATA, "f2": Verdict.STABLE}


def test_a_new_model_starts_without_evidence_against_the_old_one():
    bench = Bench(FLEET)
    other = FLEET.baseline_of("pump/2")
    bench.against["pump/2"] = lay_out(FLEET.grid, other)
    bench.feed(minutes("a", 1, shift=0.6))
    held = bench.judge().arrays["sums"].rows[0].copy()

    bench.feed(minutes("a", 1, first=1, model_id="pump/2"))

    assert held.any()
    assert bench.baseline_of("a") == other.baseline_id
    assert bench.judge().arrays["sums"].rows[0].max() < held.max()


def test_backlog_of_the_old_model_does_not_bring_it_back():
    bench = Bench(FLEET)
    other = FLEET.baseline_of("pump/2")
    bench.against["pump/2"] = lay_out(FLEET.grid, other)
    late = minutes("a", 2, shift=3.0)

    bench.feed(minutes("a", 3, first=2, model_id="pump/2"))
    bench.feed(late)

    assert bench.baseline_of("a") == other.baseline_id
    assert bench.tally["judged"] == 3


def test_a_long_silence_empties_the_fast_ring_only():
    bench = Bench(FLEET, "[reporting]\ncomplete_every = 1")
    bench.feed(minutes("a", 10))

    bench.feed(minutes("a", 1, first=10), arrivals_ms=[START_MS + 5 * HOUR_MS])

    assert bench.scores[-1].samples == FLEET.samples
    assert not bench.engine().presence.seen.admit("a", boot_of("a"), 3)


def test_a_device_silent_beyond_all_rings_is_evicted_and_nobody_else():
    bench = Bench(FLEET)
    bench.feed(minutes("a", 2) + minutes("b", 2))
    reach_ms = bench.engine().reach_ms
    bench.feed([FLEET.window("b", 2)], arrivals_ms=[START_MS + reach_ms])

    evicted = bench.partition.evict(START_MS + reach_ms + 10 * MINUTE_MS)

    assert evicted == 1
    assert list(bench.engine().presence.roster.row_of) == ["b"]
    assert bench.engine().presence.seen.intervals("a") == {}


@pytest.mark.parametrize("physically", [True, False])
def test_who_comes_back_after_eviction_gets_the_same_as_who_was_merely_due(physically):
    bench = Bench(FLEET, "[reporting]\ncomplete_every = 1")
    fresh = Bench(FLEET, "[reporting]\ncomplete_every = 1")
    bench.feed(minutes("a", 5, shift=0.6))
    back_ms = START_MS + bench.engine().reach_ms + HOUR_MS
    if physically:
        bench.partition.evict(back_ms)
    again = [FLEET.window("a", i, seq=i, start_ms=back_ms) for i in range(3)]
    bench.scores.clear()

    bench.feed(again)
    fresh.feed(again)

    assert [one for one in bench.scores if one.horizon_ms <= HOUR_MS] == [
        one for one in fresh.scores if one.horizon_ms <= HOUR_MS
    ]


def test_rows_of_evicted_devices_are_used_again():
    bench = Bench(FLEET)
    bench.feed(minutes("a", 1) + minutes("b", 1))
    bench.partition.evict(START_MS + 2 * bench.engine().reach_ms)

    bench.feed(minutes("c", 1, start_ms=START_MS + 3 * bench.engine().reach_ms))

    assert bench.engine().presence.roster.reach == 2
    assert bench.scores[-1].samples == FLEET.samples


def test_rollups_of_one_event_hour_add_up_whatever_hour_they_arrived_in():
    bench = Bench(FLEET)
    stats = minutes("a", 60)
    arrivals = [one.window_end_ms if i % 3 else one.window_end_ms + 2 * HOUR_MS for i, one in enumerate(stats)]
    order = np.argsort(arrivals, kind="stable")

    bench.feed([stats[i] for i in order], arrivals_ms=[arrivals[i] for i in order])
    bench.feed([FLEET.window("b", 0, start_ms=START_MS + 9 * HOUR_MS)])

    mine = [one for one in bench.rollups if one.device_id == "a"]
    assert sorted({one.arrival_hour_ms for one in mine}) == [START_MS, START_MS + HOUR_MS, START_MS + 2 * HOUR_MS]
    assert {one.window_start_ms for one in mine} == {START_MS}
    assert sum(one.samples for one in mine) == 60 * FLEET.samples
    assert sum(one.windows for one in mine) == 60
    counts = sum(np.frombuffer(one.counts, "<u4").astype(int) for one in mine)
    np.testing.assert_array_equal(counts, sum(np.frombuffer(one.counts, "<u4").astype(int) for one in stats))
    assert min(np.frombuffer(one.min, "<f4").min() for one in mine) == min(
        np.frombuffer(one.min, "<f4").min() for one in stats
    )


def test_slow_horizons_are_scored_when_a_pane_of_theirs_is_over_once_enough_of_them_is_known():
    bench = Bench(FLEET, "[reporting]\npsi = 0.0001")

    bench.feed([FLEET.window("a", 30 * turn) for turn in range(2 * 27 + 1)])

    slow = [one for one in bench.scores if one.horizon_ms == 24 * HOUR_MS]
    # Panes of three hours; six of a day are enough, and eight are a day.
    assert [one.samples for one in slow] == [windows * FLEET.samples for windows in (36, 42, 48, 48)]


def test_fixed_limits_alert_by_score():
    bench = Bench(FLEET, 'mode = "thresholds"')

    bench.feed(minutes("a", 15, shift=1.5))

    assert {"psi", "mean_z"} & {one.kind for one in bench.alerts}
    assert bench.alerts[0].state is AlertState.FIRING


def test_policies_side_by_side_say_what_each_says_alone():
    policies = [read_policy(text) for text in ("", "[floors]\nmean_shift = 0.9", 'mode = "thresholds"')]
    policies.append(read_policy("[minimum]\nsamples = 700\n[budget]\nfalse_alarms_per_device_day = 1.0"))
    stats = minutes("a", 20) + minutes("a", 15, first=20, shift=0.6) + minutes("b", 30)
    windows = columns_of(stats, FLEET.shape)
    groups, which = [Group(lay_out(FLEET.grid, FLEET.baseline))], np.zeros(len(stats), np.int64)
    needs = needs_of(policies, FLEET.shape.bins)
    engine = Engine(grid_id="g", shape=FLEET.shape, horizons_ms=policies[0].horizons_ms, needs=needs)

    measured = engine.admit(windows, groups, which).measured
    together = [follow(AlertBook(), Judge(rules, shape=FLEET.shape).judge(measured)) for rules in policies]

    alone = []
    for rules in policies:
        partition = Partition(rules, policy_id="")
        alone.append(partition.work([Stretch(windows, groups, which)]).alerts)
    assert together == alone
    assert len({len(alerts) for alerts in alone}) > 1


def test_a_policy_is_taken_up_without_losing_evidence():
    bench = Bench(FLEET, "[floors]\nmean_shift = 9.0\npsi = 9.0")
    bench.feed(minutes("a", 20, shift=0.6))

    bench.partition.take_up(read_policy(""), policy_id="p", policy_revision=2)
    bench.feed(minutes("a", 1, first=20, shift=0.6))

    assert [(one.kind, one.policy_revision) for one in bench.alerts] == [("mean_shift", 2)]


def test_a_policy_with_other_horizons_is_refused():
    with pytest.raises(PolicyError, match=r"horizons_minutes: found \[5\], wanted \[15, 60, 1440, 10080\]"):
        Bench(FLEET).partition.take_up(read_policy("horizons_minutes = [5]"), policy_id="p", policy_revision=2)
