"""Policies: what they default to, what they override, and how they complain."""

import pytest

from schemas.drift_alert import Severity
from streams.drift.policy import Mode, PolicyError, read_policy


def test_an_empty_document_is_the_default_policy():
    rules = read_policy("")

    assert rules.mode == Mode.CALIBRATED
    assert rules.horizons_ms == (900_000, 3_600_000, 86_400_000, 604_800_000)
    assert rules.budget.false_alarms_per_device_day == 0.001
    assert (rules.minimum.samples, rules.minimum.per_bin) == (100, 10)
    assert (rules.floors.mean_shift, rules.floors.variance_ratio, rules.floors.psi) == (0.15, 1.2, 0.04)


def test_thresholds_have_the_customary_limits():
    limits = read_policy('mode = "thresholds"').limits

    psi = limits["psi"]
    assert (psi.low, psi.medium, psi.high, psi.critical) == (0.05, 0.1, 0.2, 0.3)
    assert limits["kl_live_reference"].high == limits["js"].high == 0.1
    assert (limits["ks_p"].high, limits["ks_p"].below) == (0.01, True)
    assert (limits["wasserstein"].high, limits["mean_z"].high, limits["variance_ratio"].high) == (0.3, 3.0, 2.0)


def test_an_override_changes_what_it_names_and_keeps_the_rest():
    rules = read_policy(
        """
        alert_from = "medium"
        [floors]
        psi = 0.06
        [[override]]
        model = "pump/*"
        [override.rules.floors]
        mean_shift = 0.5
        [[override]]
        cohort = "region=eu-*"
        [override.rules]
        mode = "thresholds"
        """
    )

    pump = rules.for_device("pump/3", {"region": "us-1"})
    europe = rules.for_device("pump/3", {"region": "eu-1"})
    other = rules.for_device("fan/1", {})
    assert (pump.floors.mean_shift, pump.floors.psi, pump.alert_from) == (0.5, 0.06, Severity.MEDIUM)
    assert (europe.mode, europe.floors.psi) == (Mode.THRESHOLDS, 0.06)
    assert (other.mode, other.floors.mean_shift) == (Mode.CALIBRATED, 0.15)


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ("mode = 'strict'", "policy: mode: found 'strict', wanted one of calibrated, thresholds"),
        ("[floors]\npsi = 'big'", "policy: floors.psi: found 'big', wanted a number above 0"),
        ("[floors]\npsi = true", "policy: floors.psi: found True, wanted a number above 0"),
        ("[floors]\npsi = nan", "policy: floors.psi: found nan, wanted a number above 0"),
        ("[floors]\nvariance_ratio = 1", "policy: floors.variance_ratio: found 1, wanted a number above 1"),
        ("[minimum]\nsamples = 1", "policy: minimum.samples: found 1, wanted a whole number, 2 to 1000000000"),
        ("[minimum]\nsample = 9", "policy: minimum.sample: found 9, wanted a known key; known: per_bin, samples"),
        ("budget = 3", "policy: budget: found 3, wanted a table"),
        ("horizons_minutes = [60, 15]", "policy: horizons_minutes: found [60, 15], wanted rising values"),
        ("horizons_minutes = []", "policy: horizons_minutes: found [], wanted a list of whole numbers, each 1 or more"),
        (
            f"horizons_minutes = [15, {10**20}]",
            f"policy: horizons_minutes: found {10**20}, wanted whole numbers, each 1 to",
        ),
        (
            f"horizons_minutes = {list(range(1, 200_001))}",
            "policy: horizons_minutes: found 200000, wanted at most 64 of them",
        ),
        (f"alerts.horizons_minutes = [{10**20}]", "policy: alerts.horizons_minutes: found 1000"),
        (f"cohorts = {['region'] * 65}", "policy: cohorts: found 65, wanted at most 64 of them"),
        ("[floors]\npsi = inf", "policy: floors.psi: found inf, wanted a number above 0, at most 1e+09"),
        ("[floors]\nmean_shift = inf", "policy: floors.mean_shift: found inf, wanted a number above 0, at most 1e+09"),
        ("[reporting]\nks = inf", "policy: reporting.ks: found inf, wanted a number above 0, at most 1e+09"),
        (
            "[limits.mean_z]\nhigh = -inf",
            "policy: limits.mean_z.high: found -inf, wanted a number above -1e+30, at most 1e+30",
        ),
        ("[limits.psi]\nhigh = inf", "policy: limits.psi.high: found inf, wanted a number above -1e+30, at most 1e+30"),
        (
            f"[alerts]\nof_windows = {10**9}",
            "policy: alerts.of_windows: found 1000000000, wanted a whole number, 1 to 10000",
        ),
        (f"[alerts]\nflap_minutes = {10**20}", "policy: alerts.flap_minutes: found 1000"),
        (f"[minimum]\nsamples = {10**20}", "policy: minimum.samples: found 1000"),
        ("[[override]]\n[override.rules]\n" * 20_000, "policy: override: found 20000, wanted at most 5000 of them"),
        (".".join("a" * 3000) + " = 1", "policy: a: found "),
        ("a = 0x" + "f" * 5000, "policy: a: found more than can be shown, wanted a known key"),
        ("[limits.psi]\nhigh = 0.2\nmedium = 0.3", "policy: limits.psi.medium: found {'medium': 0.3, 'high': 0.2}"),
        ("[limits.pssi]\nhigh = 0.2", "policy: limits.pssi: found 'pssi', wanted a score; known: chi_square"),
        ("[limits.psi]\nhihg = 0.2", "policy: limits.psi.high: found None, wanted at least one of"),
        ("[limits.psi]\nhigh = 1\nhihg = 2", "policy: limits.psi.hihg: found 2, wanted a known key"),
        ("[alerts]\nbreaches = 4\nof_windows = 3", "policy: alerts.breaches: found 4, wanted at most of_windows (3)"),
        ("cohorts = 'region'", "policy: cohorts: found 'region', wanted a list of label names"),
        ("[[override]]\nmodle = 'x'\n[override.rules]", "policy: override[0].modle: found 'x', wanted a known key"),
        ("[[override]]\nmodel = 'x'", "policy: override[0].rules: found None, wanted a table of what is different"),
        ("[[override]]\n[override.rules.floors]\npsi = -1", "policy: override[0].rules.floors.psi: found -1, wanted"),
        ("mode =", "policy: document: found"),
        ("a = " + "[" * 5000, "policy: document: found"),
        ("a = " + "9" * 5000, "policy: document: found"),
        ("[floors]\npsi = " + "9" * 400, "policy: floors.psi: found 9999"),
    ],
)
def test_a_complaint_names_key_found_and_wanted(document, complaint):
    with pytest.raises(PolicyError) as caught:
        read_policy(document)

    assert str(caught.value).startswith(complaint)
    assert len(str(caught.value)) < 1000


def test_bounds_leave_room_for_whoever_means_it():
    horizons = [5, 15, 60, 1440, 10_080, 43_200, 525_600]

    rules = read_policy(
        f"horizons_minutes = {horizons}\n[floors]\npsi = 1e6\n[alerts]\nescalate_after_minutes = 999_999_999\n"
        "[limits.g]\nhigh = 1e12\n" + "[[override]]\n[override.rules]\n" * 1000
    )

    assert rules.horizons_ms[-1] == 365 * 86_400_000
    assert len(rules.overrides) == 1000
