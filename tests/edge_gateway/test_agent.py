from dataclasses import replace

import numpy as np

from edge_gateway import WatchConfig
from schemas.fleet import SlotState
from sensing import bin_counts, run_batch, tally_of
from sensing.simulator import Simulated

ROAD = ["received", "downloading", "installed", "trial", "succeeded"]

STRICT = WatchConfig(bake_s=20.0, bake_windows=2, bake_decisions=10, bad_windows=2, good_windows=2)


def test_a_first_command_ends_in_a_model_that_serves(played, foundry):
    gateway = played()
    made = foundry.bundle("1")

    gateway.tell(foundry.command(made, 1))
    gateway.tick(5)
    decided = gateway.run(45)

    assert gateway.acks() == [(1, phase) for phase in ROAD]
    assert gateway.gateway.slots.installation.model_id == "demo/1"
    assert sum(len(scored.at_ms) for scored in decided) == 45


def test_windows_carry_exactly_what_a_trainer_would_count(serving, foundry):
    gateway = serving()

    stats = gateway.sent("telemetry.feature-stats")

    assert [each.seq for each in stats] == list(range(len(stats)))
    readings = Simulated("machine", device=9).take(45)
    vectors = run_batch(foundry.pipeline, readings.at_ms, readings.values)
    for each in stats[:3]:
        rows = (vectors.at_ms >= each.window_start_ms) & (vectors.at_ms < each.window_end_ms)
        assert (
            tally_of(each, foundry.grid).counts.tolist()
            == bin_counts(foundry.grid, vectors.matrix[rows]).counts.tolist()
        )
        assert each.samples == 10


def test_health_says_how_the_model_fared(serving):
    gateway = serving()
    gateway.run(20)

    health = gateway.sent("telemetry.model-health")

    assert {each.inferences for each in health} == {10}
    assert health[0].trial
    assert not health[-1].trial
    assert {each.slot for each in health if not each.trial} == {"A"}
    assert all(0 < each.latency_p50_ms <= each.latency_p99_ms for each in health)


def test_a_second_model_goes_into_the_other_slot_and_the_first_is_kept(serving, foundry):
    gateway = serving()

    gateway.tell(foundry.command(foundry.bundle("2", threshold=6.5), 2))
    gateway.tick(5)
    gateway.run(40)

    slots = gateway.gateway.slots.installation
    assert gateway.acks()[-5:] == [(2, phase) for phase in ROAD]
    assert (slots.active, slots.fallback) == ("B", "A")
    assert slots.slots["A"].model_id == "demo/1"
    assert {slot.state for slot in slots.slots.values()} == {SlotState.STABLE}


def test_the_way_back_is_instant(serving, foundry):
    gateway = serving()
    first = foundry.bundle("1")
    gateway.tell(foundry.command(foundry.bundle("2", threshold=6.5), 2))
    gateway.tick(5)
    gateway.run(40)

    gateway.tell(foundry.command(first, 3))
    gateway.tick(1)

    assert gateway.acks()[-2:] == [(3, "received"), (3, "succeeded")]
    assert gateway.gateway.slots.installation.model_id == "demo/1"


def test_a_repeated_command_is_acked_again_and_not_done_again(serving, foundry):
    gateway = serving()
    before = gateway.gateway.slots.installation

    gateway.tell(foundry.command(foundry.bundle("1"), 1))
    gateway.tick(5)

    assert gateway.acks()[-2:] == [(1, "succeeded"), (1, "succeeded")]
    assert replace(gateway.gateway.slots.installation, said=before.said) == before


def test_an_older_command_is_refused(serving, foundry):
    gateway = serving()
    gateway.tell(foundry.command(foundry.bundle("2", threshold=6.5), 5))
    gateway.tick(5)
    gateway.run(40)

    gateway.tell(foundry.command(foundry.bundle("1"), 4))
    gateway.tick(2)

    assert gateway.acks()[-1] == (4, "refused")
    assert gateway.sent("rollouts.acks")[-1].reason == "revision 4 is older than 5, which this device has taken up"
    assert gateway.gateway.slots.installation.model_id == "demo/2"


def test_a_sick_model_falls_back(serving, foundry):
    gateway = serving()

    gateway.tell(foundry.command(foundry.bundle("3", sick=True), 2))
    gateway.tick(5)
    gateway.run(60)

    assert gateway.acks()[-1] == (2, "fell_back")
    assert gateway.gateway.slots.installation.model_id == "demo/1"
    assert gateway.gateway.slots.installation.slots["B"].state is SlotState.BAD


def test_a_model_that_calls_everything_strange_falls_back_because_the_one_before_does_not(serving, foundry):
    gateway = serving()

    gateway.tell(foundry.command(foundry.bundle("3", threshold=0.01), 2))
    gateway.tick(5)
    gateway.run(40)

    ack = gateway.sent("rollouts.acks")[-1]
    assert (ack.revision, ack.phase) == (2, "fell_back")
    assert ack.reason.startswith("anomaly rate 1 where the model before has 0")


def test_a_changed_world_does_not_throw_a_good_model_out(serving, foundry):
    gateway = serving()

    gateway.tell(foundry.command(foundry.bundle("2", threshold=6.5), 2))
    gateway.tick(5)
    gateway.run(60, values=lambda values: values * 3)

    assert gateway.acks()[-1] == (2, "succeeded")


def test_a_model_retrained_on_the_changed_world_is_judged_by_what_it_promised(serving, foundry):
    """The one before is sure of itself, and wrong: it was trained on a world that is gone."""
    gateway = serving(watch=replace(STRICT, degradation=0.04))

    def warmer(values):
        return values + np.array([12.0, 0, 0, 0], dtype=values.dtype)

    scores = np.concatenate([each.decisions.score for each in gateway.run(120, values=warmer)[70:]])
    threshold = float(np.quantile(scores, 0.98))
    confidence = float((1 / (1 + np.exp(-np.abs(scores - threshold)))).mean())
    old = [each.confidence_mean for each in gateway.sent("telemetry.model-health")][-1]
    retrained = {"threshold": threshold, "manifest": {"metrics": {"anomaly_share": 0.02, "confidence": confidence}}}
    gateway.tell(foundry.command(foundry.bundle("2", **retrained), 2))
    gateway.tick(5)
    gateway.run(60, values=warmer)

    assert old - confidence > gateway.config.watch.degradation
    assert gateway.acks()[-1] == (2, "succeeded")


def test_a_restart_goes_on_with_windows_and_numbers(serving, foundry):
    straight, cut = serving(), serving()

    straight.run(30)
    cut.run(13)
    cut.restart()
    cut.run(17)

    assert [s.counts for s in cut.sent("telemetry.feature-stats")] == [
        s.counts for s in straight.sent("telemetry.feature-stats")
    ]
    assert [s.seq for s in cut.sent("telemetry.feature-stats")] == [
        s.seq for s in straight.sent("telemetry.feature-stats")
    ]


def test_readings_before_the_first_model_are_counted_as_discarded(played):
    gateway = played()

    gateway.run(5)

    assert gateway.gateway.discarded == 5


def test_unusable_readings_cost_nothing_else(serving):
    gateway = serving()

    gateway.run(1, values=lambda values: values[:, :2])
    decided = gateway.run(3, values=lambda values: np.full_like(values, np.inf))

    assert sum(len(scored.at_ms) for scored in decided) == 3
    assert gateway.gateway._engine.refused == 1
