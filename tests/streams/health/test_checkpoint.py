"""State comes back exactly: what follows a restore is what would have followed without the crash."""

import uuid
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.model_health import ModelHealth
from schemas.sample import Label, Sample, SampledBecause
from streams.drift.policy import own_policy
from streams.health.checkpoint import CheckpointError, freeze, thaw
from streams.health.partition import HEALTH, LABELS, SAMPLES, HealthPartition

MINUTE_MS, DAY_MS = 60_000, 24 * 3_600_000
POLICY = own_policy(
    "[alerts]\nresolve_after_windows = 3\n[health]\nwarm_up_windows = 10\nmemory_windows = 50\noutcomes = 20\n"
    '[health.latency_ms]\ndetector = "page_hinkley"\n[health.throughput]\ndetector = "kswin"\n'
    '[health.estimated]\ntrust = "always"\n',
    policy_id="test",
)
OTHER = own_policy('[health]\noutcomes = 15\nwarm_up_windows = 10\n[health.confidence]\ndetector = "ddm"\n')


@cache
def eventful(seed):
    """Records of devices that fare worse, run other models, repeat themselves, and fall silent for long."""
    rng = np.random.default_rng(seed)
    log = []
    for device in "abc":
        at_ms, seq, worse = 10 * DAY_MS, 0, False
        for stretch in range(4):
            model, worse = f"m/{1 + (stretch == 3)}", stretch == 2
            for _ in range(int(rng.integers(40, 60))):
                at_ms, seq = at_ms + MINUTE_MS, seq + 1
                window = health(rng, device, model, at_ms, seq, worse)
                log.append((at_ms, HEALTH, window))
                if rng.random() < 0.1:
                    log.append((at_ms + 5 * MINUTE_MS, HEALTH, window))
                log += predictions(rng, device, model, at_ms, worse)
            at_ms += int(rng.choice([0, 0, DAY_MS, 8 * DAY_MS]))
    return sorted(log, key=lambda one: one[0])


def health(rng, device, model, at_ms, seq, worse):
    return ModelHealth(
        device_id=device,
        model_id=model,
        boot_id=str(uuid.uuid5(uuid.NAMESPACE_OID, device)),
        seq=seq,
        window_start_ms=at_ms - MINUTE_MS,
        window_end_ms=at_ms,
        inferences=600,
        anomalies=int(rng.integers(60, 90) if worse else rng.integers(5, 12)),
        errors=0,
        score_mean=0.1,
        score_m2=0.0,
        confidence_mean=0.9,
        latency_p50_ms=0.5,
        latency_p99_ms=float(rng.normal(3 if worse else 1, 0.05)),
        cpu_share=float("nan"),
        memory_bytes=100_000_000,
    )


def predictions(rng, device, model, at_ms, worse):
    made = []
    for _ in range(int(rng.integers(1, 4))):
        name = str(uuid.UUID(bytes=rng.bytes(16), version=4))
        sure, said = float(rng.uniform(0.5, 0.7) if worse else 0.95), bool(rng.random() < 0.3)
        made.append((at_ms, SAMPLES, sample(device, model, name, at_ms, said, sure)))
        if rng.random() < 0.8:
            truth = said if rng.random() < sure else not said
            late_ms = int(rng.integers(0, 30)) * MINUTE_MS
            label = Label(device_id=device, prediction_id=name, value=float(truth), at_ms=at_ms + late_ms, by="test")
            made.append((at_ms + late_ms, LABELS, label))
    return made


def sample(device, model, name, at_ms, said, sure):
    return Sample(
        device_id=device,
        prediction_id=name,
        model_id=model,
        pipeline="machine/1",
        at_ms=at_ms,
        features=b"",
        score=0.5,
        anomaly=said,
        confidence=sure,
        because=SampledBecause.UNIFORM,
    )


def run_over(partition, log):
    return [alert for at_ms, topic, record in log for alert in partition.take(topic, record, arrived_ms=at_ms)]


@settings(max_examples=20)
@given(seed=st.integers(0, 3), share=st.floats(0.02, 0.98), evict=st.booleans(), change=st.booleans())
def test_what_follows_a_restore_is_what_would_have_followed(seed, share, evict, change):
    log = eventful(seed)
    cut = int(share * len(log))
    unharmed = HealthPartition(POLICY)
    run_over(unharmed, log[:cut])
    if evict:
        unharmed.panel.evict(log[cut][0])
    if change:
        unharmed.take_up(OTHER)

    crashed, offsets = thaw(freeze(unharmed, {HEALTH: 7, LABELS: 3}))
    expected, found = run_over(unharmed, log[cut:]), run_over(crashed, log[cut:])

    assert offsets == {HEALTH: 7, LABELS: 3}
    assert found == expected
    assert freeze(crashed, {}) == freeze(unharmed, {})


def test_the_logs_are_eventful_enough():
    alerts = [alert for seed in range(4) for alert in run_over(HealthPartition(POLICY), eventful(seed))]

    assert {"latency_ms", "anomaly_rate", "estimated_accuracy", "accuracy"} <= {alert.feature for alert in alerts}
    assert {"firing", "resolved"} <= {alert.state.value for alert in alerts}


def test_a_device_that_was_away_longer_than_its_topic_remembers_starts_anew():
    rng = np.random.default_rng(1)
    kept, evicted = HealthPartition(POLICY), HealthPartition(POLICY)
    for partition in (kept, evicted):
        run_over(
            partition,
            [(seq, HEALTH, health(np.random.default_rng(2), "a", "m/1", seq, seq, False)) for seq in range(1, 40)],
        )
    evicted.panel.evict(8 * DAY_MS)
    again = health(rng, "a", "m/1", 8 * DAY_MS, 1, False)

    for partition in (kept, evicted):
        partition.take(HEALTH, again, arrived_ms=8 * DAY_MS)

    assert kept.panel.models["a"]["m/1"].state() == evicted.panel.models["a"]["m/1"].state()
    assert kept.panel.counts.repeated == 0


@pytest.mark.parametrize("damage", [lambda _: b"", lambda frozen: frozen[:-9], lambda _: b"x" * 99])
def test_bytes_that_are_no_checkpoint_are_refused(damage):
    with pytest.raises(CheckpointError, match="wanted one"):
        thaw(damage(freeze(HealthPartition(POLICY), {})))


def test_a_change_of_policy_leaves_alone_what_is_watched_as_before():
    log = eventful(0)
    partition = HealthPartition(POLICY)
    run_over(partition, log[:200])
    before = partition.panel.models["a"]["m/1"].state()

    partition.take_up(own_policy(POLICY.document.replace("page_hinkley", "adwin"), policy_id="test"))

    after = partition.panel.models["a"]["m/1"].state()
    assert after["watches"]["anomaly_rate"] == before["watches"]["anomaly_rate"]
    assert after["watches"]["latency_ms"]["values"] == b""
    assert after["limits"] == before["limits"]
