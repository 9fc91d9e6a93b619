"""Judges windows of raw samples with Evidently, and prints seconds of processor time a window."""

import sys
import time

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset


def main(windows: int, samples: int, features: int) -> None:
    rng = np.random.default_rng(1)
    names = [f"f{i:02}" for i in range(features)]
    kinds = DataDefinition(numerical_columns=names)

    def dataset(rows: int) -> Dataset:
        return Dataset.from_pandas(pd.DataFrame(rng.standard_normal((rows, features)), columns=names), kinds)

    reference, live = dataset(5000), [dataset(samples) for _ in range(windows + 1)]
    report = Report([DataDriftPreset(method="ks")])
    # Once before it counts, as with the others.
    report.run(live[0], reference)
    began_s = time.process_time()
    for window in live[1:]:
        report.run(window, reference)
    print((time.process_time() - began_s) / windows)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
