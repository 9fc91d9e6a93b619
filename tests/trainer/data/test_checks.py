"""Bad data are refused before anything is learned, each in its own words."""

from dataclasses import replace

import numpy as np
import pytest

from trainer.data import Dataset, split_by_time
from trainer.data.checks import Limits, check_data, refuse_failed, silent_devices
from trainer.errors import DataRefusedError


def findings(dataset: Dataset, **limits) -> dict[str, str]:
    checks = check_data(split_by_time(dataset), Limits(**limits))
    return {check.name: check.finding for check in checks if not check.passed}


def with_column(dataset: Dataset, column: int, values) -> Dataset:
    matrix = dataset.matrix.copy()
    matrix[:, column] = values
    return replace(dataset, matrix=matrix)


def test_good_data_pass(machines):
    checks = check_data(split_by_time(machines), Limits())

    assert all(check.passed for check in checks)
    refuse_failed(checks)


def test_a_missing_feature_is_named(machines):
    assert findings(with_column(machines, 1, np.nan)) == {"missing values": "vibration 100%"}


def test_a_constant_feature_is_named(machines):
    assert findings(with_column(machines, 3, 7.0)) == {"constant features": "current never change"}


def test_impossible_values_are_named(machines):
    assert findings(with_column(machines, 0, machines.matrix[:, 0] + 1000)) == {"physical range": "temperature 100%"}


def test_data_that_are_judged_by_what_they_were_learned_from_are_refused(machines):
    same = machines.matrix.copy()
    same[:] = np.resize(machines.matrix[:200], same.shape)

    found = findings(replace(machines, matrix=same))

    assert "held-out vectors are also learned from" in found["leakage by duplicates"]


def test_what_a_dead_sensor_sends_again_and_again_is_no_copy(machines):
    dead = machines.matrix.copy()
    dead[::8] = dead[0]

    assert "leakage by duplicates" not in findings(replace(machines, matrix=dead))


def test_all_that_failed_is_said_at_once(machines):
    bad = with_column(with_column(machines, 1, np.nan), 3, 7.0)

    with pytest.raises(DataRefusedError, match=r"vibration 100%.*current never change") as refusal:
        refuse_failed(check_data(split_by_time(bad), Limits()))

    assert len(refusal.value.findings) == 2


def test_dead_and_stuck_sensors_are_told_from_living_ones(machines):
    matrix = machines.matrix.copy()
    matrix[machines.device == 0, 2] = np.nan
    matrix[machines.device == 2, 0] = 20.5

    assert silent_devices(machines) == ()
    assert silent_devices(replace(machines, matrix=matrix)) == ("machine-0", "machine-2")
