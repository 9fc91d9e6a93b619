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
        ("[minimum]\nsamples = 1", "policy: minimum.samples: found 1, wanted a whole number, 2 or more"),
        ("[minimum]\nsample = 9", "policy: minimum.sample: found 9, wanted a known key; known: per_bin, samples"),
        ("budget = 3", "policy: budget: found 3, wanted a table"),
        ("horizons_minutes = [60, 15]", "policy: horizons_minutes: found [60, 15], wanted rising values"),
        ("horizons_minutes = []", "policy: horizons_minutes: found [], wanted a list of whole numbers, each 1 or more"),
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
    ],
)
def test_a_complaint_names_key_found_and_wanted(document, complaint):
    with pytest.raises(PolicyError) as caught:
        read_policy(document)

    assert str(caught.value).startswith(complaint)
