"""A jury says what each of its policies would say alone."""

import numpy as np
import pytest
from drift_fleet import Fleet, boot_of, columns_of

from streams.backtest.candidate import Candidate
from streams.backtest.jury import Jury
from streams.backtest.players import Candidates
from streams.drift.alerts import AlertBook
from streams.drift.engine import Engine
from streams.drift.following import follow
from streams.drift.judge import Judge, needs_of
from streams.drift.measured import Group
from streams.drift.partition import Partition, Stretch
from streams.drift.policy import read_policy
from streams.drift.references import lay_out

LIMITS = 'mode = "thresholds"\n'
POLICIES = {
    "default": "",
    "nervous": "[budget]\nfalse_alarms_per_device_day = 20",
    "calm": "[budget]\nfalse_alarms_per_device_day = 1e-9",
    "one-window": "[budget]\nwindow_share = 1.0",
    "small-share": "[budget]\nwindow_share = 0.1",
    "high-floors": "[floors]\nmean_shift = 0.8\nvariance_ratio = 3.0\npsi = 0.5",
    "patient": "[alerts]\nbreaches = 3\nof_windows = 5\nresolve_after_windows = 2",
    "rates": "[floors]\nmissing_rate = 0.2",
    "small-looks": "[minimum]\nsamples = 20\nper_bin = 2",
    # Strands of evidence that only floors or lives tell apart.
    "nervous-floors": "[budget]\nfalse_alarms_per_device_day = 20\n[floors]\nmean_shift = 0.8\npsi = 0.5",
    "nervous-patient": "[budget]\nfalse_alarms_per_device_day = 20\n[alerts]\nbreaches = 2\nflap_minutes = 2",
    "impatient": "[alerts]\nescalate_after_minutes = 5\nresolve_after_windows = 1\nflap_minutes = 0",
    "thresholds": LIMITS,
    "other-limits": LIMITS + 'alert_from = "medium"\n[limits.psi]\nmedium = 0.3\n[limits.mean_z]\nhigh = 8.0',
    "few-limits": LIMITS + "[limits.ks]\nlow = 0.1\nhigh = 0.25\ncritical = 0.4\n[minimum]\nsamples = 20\nper_bin = 2",
    "slow-limits": LIMITS + "[alerts]\nbreaches = 2\nof_windows = 4\nresolve_after_windows = 3\nflap_minutes = 1",
    "overridden": '[[override]]\nmodel = "pump/*"\n[override.rules.floors]\nmean_shift = 0.5',
    "by-cohort": '[[override]]\ncohort = "site=b*"\n[override.rules.budget]\nfalse_alarms_per_device_day = 20',
    "other-mode": '[[override]]\ncohort = "site=b*"\n[override.rules]\nmode = "thresholds"',
}
RULES = {name: read_policy(document) for name, document in POLICIES.items()}


def log(fleet, seed, *, minutes=90, devices=6, samples=(60, 60, 600)):
    """Windows of devices of which some drift for a while, in every way; some lack values, one sleeps for hours."""
    rng = np.random.default_rng(seed)
    windows = []
    for minute in range(minutes):
        for device in range(devices):
            values = fleet.readings(samples=int(rng.choice(samples)))
            feature, phase = device % 3, minute // 30 + device
            if device and phase % 3 == 1:
                values[:, feature] += (0.3, 1.0, 6.0)[device % 3]
            if device and phase % 5 == 2:
                values[:, feature] *= 3.0
            if device == 4 and phase % 4 == 1:
                values[:, 0] = 0.25
            if rng.random() < 0.2:
                values[rng.random(len(values)) < rng.choice([0.01, 0.5]), 1] = np.nan
            asleep = device == 5 and minute >= 40
            at = minute + 300 * asleep
            windows.append(fleet.window(f"d-{device}", at, values=values, boot=boot_of(device), seq=minute))
    return sorted(windows, key=lambda one: one.window_end_ms)


def changes(alerts):
    return [(one.alert_id, one.state, one.severity, one.changed_ms, one.kind) for one in alerts]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("batch", [7, 500])
def test_policies_in_a_jury_say_what_each_says_alone(seed, batch):
    fleet = Fleet(seed=seed)
    against = lay_out(fleet.grid, fleet.baseline)
    groups = [Group(against, {"site": site}) for site in ("a", "b-1")]
    windows = columns_of(log(fleet, seed), fleet.shape)
    horizons = RULES["default"].horizons_ms
    needs = needs_of(list(RULES.values()), fleet.shape.bins)
    engine = Engine(grid_id=fleet.grid.grid_id, shape=fleet.shape, horizons_ms=horizons, needs=needs)
    jury = Jury(RULES)
    alone = {name: (Judge(rules, shape=fleet.shape), AlertBook()) for name, rules in RULES.items()}
    found, wanted = {name: [] for name in RULES}, {name: [] for name in RULES}

    for first in range(0, len(windows), batch):
        some = windows.take(np.arange(first, min(first + batch, len(windows))))
        admitted = engine.admit(some, groups, np.array([int(device[-1]) % 2 for device in some.device_id]))
        fast = [one for one in admitted.measured if one.looks is not None]
        for name, told in jury.judge(fleet.grid.grid_id, fleet.shape, fast).items():
            found[name] += sorted(changes(told))
        for name, (judge, book) in alone.items():
            wanted[name] += sorted(changes(follow(book, judge.judge(fast))))

    assert found == wanted
    # The policies differ, and none is idle but the one that is meant to be.
    assert all(wanted[name] for name in RULES)
    assert len({str(told) for told in wanted.values()}) >= 8


SLOW = {
    "default": "",
    "first-alone": "[alerts]\nhorizons_minutes = [15]",
    "days": "[alerts]\nhorizons_minutes = [1440]",
    "days-and-hours": "[alerts]\nhorizons_minutes = [60, 1440]\nbreaches = 2",
    "thresholds": LIMITS,
    "its own past": 'reference = "earlier"',
    "its own past, nervous": 'reference = "earlier"\n[budget]\nfalse_alarms_per_device_day = 20',
}


def test_candidates_alert_on_slow_horizons_as_a_worker_does():
    """Two weeks of a window an hour: one device changes for a day, one for good; each policy as a partition alone."""
    fleet = Fleet(features=2, samples=300)
    groups = [Group(lay_out(fleet.grid, fleet.baseline))]
    shift = {"short": lambda hour: 1.0 * (240 <= hour < 264), "good": lambda hour: 0.4 + 0.8 * (hour >= 270)}
    log = [
        fleet.window(device, 60 * hour + 58, seq=hour, values=fleet.readings(shift=moved(hour)))
        for hour in range(14 * 24)
        for device, moved in shift.items()
    ]
    windows = columns_of(log, fleet.shape)
    candidates = Candidates([Candidate(name, document, read_policy(document)) for name, document in SLOW.items()])
    found, wanted = {name: [] for name in SLOW}, {}

    for first in range(0, len(windows), 100):
        some = windows.take(np.arange(first, min(first + 100, len(windows))))
        played = candidates.play(Stretch(some, groups, np.zeros(len(some), np.int64)))
        for name, alerts in played.alerts.items():
            found[name] += changes(alerts)
    for name, document in SLOW.items():
        outcome = Partition(read_policy(document)).work([Stretch(windows, groups, np.zeros(len(windows), np.int64))])
        wanted[name] = changes(outcome.alerts)

    assert {name: sorted(told) for name, told in found.items()} == {name: sorted(told) for name, told in wanted.items()}
    of_days = {name: {one[0].split("/")[0] for one in told if "/1440min" in one[0]} for name, told in wanted.items()}
    # Where windows tell it, days need not, unless the past is another.
    assert of_days["default"] == of_days["first-alone"] == set()
    assert of_days["days"] == of_days["its own past"] == {"short", "good"}
