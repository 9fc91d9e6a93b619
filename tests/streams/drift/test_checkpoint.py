"""State comes back exactly: what follows a restore is what would have followed without the crash."""

from itertools import pairwise

import numpy as np
import pytest
from drift_fleet import MINUTE_MS, Fleet, columns_of
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.drift.checkpoint import CheckpointError, freeze, thaw
from streams.drift.measured import Group
from streams.drift.partition import Partition, Stretch
from streams.drift.policy import read_policy
from streams.drift.references import lay_out
from streams.drift.refill import FastRefill, SlowRefill, first_offset

HOUR_MS = 60 * MINUTE_MS
FLEET = Fleet(samples=200, features=2)
OWN = "[reporting]\npsi = 0.02\ncomplete_every = 7\n[alerts]\nresolve_after_windows = 3\n"
POLICY = read_policy(OWN)
# Of days, each horizon being compared with what came before.
EARLIER = read_policy('reference = "earlier"\nhorizons_minutes = [15, 60, 120]\n' + OWN)
GROUP = Group(lay_out(FLEET.grid, FLEET.baseline))


def eventful(seed):
    """A log of devices that drift, repeat, come late and fall silent for hours, days and longer than all rings."""
    rng = np.random.default_rng(seed)
    arriving = []
    for number, device in enumerate("abcd"):
        start_min = 0
        seq = 0
        for stretch in range(4):
            for minute in range(int(rng.integers(5, 20))):
                shift = 0.7 if (number, stretch) == (0, 1) else 0.0
                window = FLEET.window(
                    device,
                    start_min + minute,
                    seq=seq,
                    values=FLEET.readings(shift=shift, samples=int(rng.choice([60, 200]))),
                )
                seq += 1
                late_ms = int(rng.choice([0, 0, 0, 0, 7, 95])) * MINUTE_MS
                arriving.append((window.window_end_ms + late_ms, window))
                if rng.random() < 0.15:
                    again_ms = int(rng.choice([0, 3, 80, 300])) * MINUTE_MS
                    arriving.append((window.window_end_ms + late_ms + again_ms, window))
            start_min += 40 + int(rng.choice([0, 30, 90, 60 * 30, 60 * 24 * 9]))
    arriving.sort(key=lambda two: two[0])
    return [window for _, window in arriving], [at_ms for at_ms, _ in arriving]


LOGS = {seed: eventful(seed) for seed in range(4)}


def stretch_of(log, first, end):
    stats, arrivals_ms = log
    windows = columns_of(stats[first:end], FLEET.shape, first_offset=first, arrivals_ms=arrivals_ms[first:end])
    return Stretch(windows, [GROUP], np.zeros(end - first, np.int64))


def run_over(partition, log, cuts):
    outcomes = [partition.work([stretch_of(log, first, end)]) for first, end in pairwise(cuts)]
    return (
        [one for outcome in outcomes for one in outcome.scores],
        [one for outcome in outcomes for one in outcome.alerts],
        [one for outcome in outcomes for one in outcome.rollups],
    )


def restored(frozen, log, offset, rollups, rules=POLICY):
    partition = thaw(frozen, rules, lambda *_: GROUP)
    for engine_id, engine in partition.engines.items():
        assert engine_id == FLEET.grid.grid_id
        refill = FastRefill(engine)
        first = FIRST[0]
        if first is not None:
            # In pieces, as they come from the log.
            middle = (first + offset) // 2
            for start, end in ((first, middle), (middle, offset)):
                if end > start:
                    refill.add(stretch_of(log, start, end).windows)
        refill.finish()
        SlowRefill(engine).add(rollups)
    return partition


FIRST = [None]


def of_weeks(seed):
    """A device that is heard of every other hour, and changes for good after nine days."""
    stats = [
        FLEET.window("w", 60 * hour + 58, seq=hour, values=FLEET.readings(shift=1.0 if hour > 9 * 24 else 0.0))
        for hour in range(seed, 12 * 24, 2)
    ]
    return stats, [one.window_end_ms + 500 for one in stats]


LOGS |= {"weeks": of_weeks(0)}


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(list(LOGS)), st.floats(0.02, 0.98), st.booleans(), st.sampled_from([POLICY, EARLIER]))
@example("weeks", 0.9, False, EARLIER)
@example("weeks", 0.78, False, EARLIER)
def test_what_follows_a_restore_is_what_would_have_followed(seed, share, evict, rules):
    log = LOGS[seed]
    end = len(log[0])
    offset = max(1, int(share * end))
    unharmed = Partition(rules)
    _, _, rollups = run_over(unharmed, log, [0, offset])
    if evict:
        unharmed.evict(log[1][offset - 1])
    FIRST[0] = next((first_offset(engine) for engine in unharmed.engines.values()), None)
    frozen = freeze(unharmed)

    # Rewritten keys of an earlier replay stand on the topic as well.
    crashed = restored(frozen, log, offset, [*rollups, *rollups[-3:]], rules)
    expected, found = run_over(unharmed, log, [offset, end]), run_over(crashed, log, [offset, end])

    assert found == expected
    assert freeze(crashed) == freeze(unharmed)


def test_the_logs_are_eventful_enough():
    for log in LOGS.values():
        partition = Partition(EARLIER if log is LOGS["weeks"] else POLICY)
        scores, alerts, rollups = run_over(partition, log, [0, len(log[0])])
        assert scores
        assert alerts
        assert len(rollups) > 10


def test_a_checkpoint_is_small():
    partition = Partition(POLICY)
    stats = [FLEET.window(f"d{i}", minute) for minute in range(20) for i in range(50)]
    partition.work([stretch_of((stats, [one.window_end_ms for one in stats]), 0, len(stats))])

    assert len(freeze(partition)) < 50 * 1200


def test_the_first_offset_is_that_of_the_oldest_window_that_counts():
    partition = Partition(POLICY)
    log = [FLEET.window("a", minute) for minute in range(90)]
    partition.work([stretch_of((log, [one.window_end_ms for one in log]), 0, 90)])

    # The ring holds the newest pane and the eleven before: from minute 30 on, with 5-minute panes.
    assert first_offset(partition.engines[FLEET.grid.grid_id]) == 30


@pytest.mark.parametrize("damage", [lambda frozen: b"", lambda frozen: frozen[:-9], lambda _: b"x" * 99])
def test_bytes_that_are_no_checkpoint_are_refused(damage):
    partition = Partition(POLICY)
    partition.work([stretch_of(LOGS[0], 0, 9)])

    with pytest.raises(CheckpointError, match="wanted one"):
        thaw(damage(freeze(partition)), POLICY, lambda *_: GROUP)
