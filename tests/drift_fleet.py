"""A small honest fleet: devices whose readings are normal, counted on a real grid, against a learned baseline."""

import time
import uuid
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from schemas.canonical import with_content_id
from schemas.columns import GridShape
from schemas.feature_stats import FeatureStats
from schemas.fleet import Device, DeviceState
from schemas.grid import Baseline, FeatureBaseline, FeatureGrid, FeatureKind, Grid
from schemas.model_health import ModelHealth
from schemas.operators import OperatorRequest
from schemas.policy import Policy
from sensing import bin_counts
from streams.drift.windows import Windows

MINUTE_MS = 60_000
# On an hour, so that a test can tell where hours turn.
START_MS = 1_767_225_600_000


class Fleet:
    """Makes windows of devices that all behave alike, except as they are told to."""

    def __init__(self, *, features=3, bins=8, samples=600, seed=1, model_id="pump/1"):
        edges = tuple(NormalDist().inv_cdf(share / bins) for share in range(1, bins))
        self.rng = np.random.default_rng(seed)
        self.samples, self.model_id = samples, model_id
        self.grid = with_content_id(
            Grid(
                grid_id="",
                pipeline="test/1",
                bins=bins,
                features=tuple(
                    FeatureGrid(name=f"f{i}", kind=FeatureKind.NUMERIC, edges=edges, low=-50.0, high=50.0)
                    for i in range(features)
                ),
            )
        )
        self.baseline = self.baseline_of(model_id)
        self.shape = GridShape(features, bins)

    def baseline_of(self, model_id, *, windows=1000):
        features = []
        for feature in self.grid.features:
            values = self.rng.normal(size=(windows * 60, 1))
            grid = replace(self.grid, features=(feature,))
            tally = bin_counts(grid, values)
            features.append(
                FeatureBaseline(
                    name=feature.name,
                    counts=tuple(tally.counts[0].tolist()),
                    missing=0,
                    out_of_range=0,
                    mean=float(tally.mean[0]),
                    variance=float(tally.m2[0] / (tally.samples - 1)),
                    min=float(tally.min[0]),
                    max=float(tally.max[0]),
                    dispersion_windows=windows,
                )
            )
        return with_content_id(
            Baseline(
                baseline_id="",
                model_id=model_id,
                grid_id=self.grid.grid_id,
                pipeline="test/1",
                samples=windows * 60,
                features=tuple(features),
            )
        )

    def readings(self, *, shift=0.0, feature=0, samples=None):
        values = self.rng.normal(size=(samples or self.samples, len(self.grid.features)))
        values[:, feature] += shift
        return values

    def window(self, device, minute, *, values=None, boot=None, seq=None, start_ms=START_MS, model_id=None):
        """The window of one minute; `values` are readings, healthy ones unless given."""
        tally = bin_counts(self.grid, self.readings() if values is None else values)
        return FeatureStats(
            device_id=device,
            model_id=model_id or self.model_id,
            pipeline="test/1",
            grid_id=self.grid.grid_id,
            boot_id=boot or boot_of(device),
            seq=minute if seq is None else seq,
            window_start_ms=start_ms + minute * MINUTE_MS,
            window_end_ms=start_ms + (minute + 1) * MINUTE_MS,
            samples=tally.samples,
            counts=tally.counts.astype("<u4").tobytes(),
            missing=tally.missing.astype("<u4").tobytes(),
            out_of_range=tally.out_of_range.astype("<u4").tobytes(),
            mean=tally.mean.astype("<f4").tobytes(),
            m2=tally.m2.astype("<f4").tobytes(),
            min=tally.min.astype("<f4").tobytes(),
            max=tally.max.astype("<f4").tobytes(),
        )


def boot_of(device, life=0):
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{device}/{life}"))


def health(device_id, minute, *, errors, start_ms=START_MS):
    """How a model fared in one minute, of 600 readings."""
    return ModelHealth(
        device_id=device_id, model_id="pump/1", boot_id=boot_of(device_id), seq=minute,
        window_start_ms=start_ms + minute * MINUTE_MS, window_end_ms=start_ms + (minute + 1) * MINUTE_MS,
        inferences=600, anomalies=6, errors=errors, score_mean=0.1, score_m2=1.0, confidence_mean=0.9,
        latency_p50_ms=1.0, latency_p99_ms=2.0, cpu_share=0.2, memory_bytes=50_000_000,
    )  # fmt: skip


def device(name, **labels):
    return Device(
        device_id=name, state=DeviceState.ONLINE, labels=labels, model_id="pump/1", revision=0, registered_ms=0,
        last_seen_ms=0,
    )  # fmt: skip


def policy(revision, document, *, withdrawn=False):
    """A policy that nobody has signed yet."""
    return Policy(
        policy_id="default", revision=revision, document=document, envelope="", issued_ms=revision, issued_by="ada",
        withdrawn=withdrawn,
    )  # fmt: skip


def asked(subject, action, **arguments):
    """What an operator asks for now."""
    return OperatorRequest(
        request_id=str(uuid.uuid4()), subject=subject, action=action, who="ada", why="planned work",
        at_ms=int(time.time() * 1000), arguments=arguments,
    )  # fmt: skip


def columns_of(stats, shape, *, first_offset=0, arrivals_ms=None):
    """Windows as the engine takes them, arriving in the order given, each a second after its end unless said."""

    def stacked(name, dtype, *tail):
        joined = b"".join(getattr(one, name) for one in stats)
        return np.frombuffer(joined, dtype).reshape(len(stats), *tail)

    features, bins = shape
    default = [one.window_end_ms + 1000 for one in stats]
    return Windows(
        offset=np.arange(first_offset, first_offset + len(stats)),
        arrival_ms=np.array(default if arrivals_ms is None else arrivals_ms, np.int64),
        device_id=[one.device_id for one in stats],
        model_id=[one.model_id for one in stats],
        pipeline=[one.pipeline for one in stats],
        boot_id=[one.boot_id for one in stats],
        seq=np.array([one.seq for one in stats], np.int64),
        start_ms=np.array([one.window_start_ms for one in stats], np.int64),
        end_ms=np.array([one.window_end_ms for one in stats], np.int64),
        samples=np.array([one.samples for one in stats], np.int64),
        counts=stacked("counts", "<u4", features, bins),
        missing=stacked("missing", "<u4", features),
        out_of_range=stacked("out_of_range", "<u4", features),
        mean=stacked("mean", "<f4", features),
        m2=stacked("m2", "<f4", features),
        min=stacked("min", "<f4", features),
        max=stacked("max", "<f4", features),
    )
