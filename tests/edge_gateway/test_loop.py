"""The way up and the way down, over real Kafka and a real registry."""

from feed_reading import records_on
from live_gateway import Live


def test_a_command_on_the_topic_becomes_a_serving_model_and_acks_on_the_topic(tmp_path, foundry, cluster, write):
    write("rollouts.commands", foundry.command(foundry.bundle("1"), 1))
    live = Live(tmp_path, foundry, cluster)

    acks = records_on(cluster, "rollouts.acks", lambda found: any(ack.phase == "succeeded" for ack in found))
    stats = records_on(cluster, "telemetry.feature-stats", lambda found: {s.seq for s in found} >= {0, 1, 2})
    heartbeats = records_on(cluster, "fleet.heartbeats", lambda found: any(each.model_id == "demo/1" for each in found))
    summary = live.close()

    assert [ack.phase for ack in acks] == ["received", "downloading", "installed", "trial", "succeeded"]
    assert len({(each.boot_id, each.seq) for each in stats}) == len(stats)
    assert heartbeats[-1].slots[0].active
    assert (summary.waiting, summary.lost) == (0, 0)


def test_a_command_for_another_device_is_none_of_its_business(tmp_path, foundry, cluster, write):
    made = foundry.bundle("1")
    write("rollouts.commands", foundry.command(made, 1, device_id="press-8"))
    write("rollouts.commands", foundry.command(made, 2))
    live = Live(tmp_path, foundry, cluster)

    acks = records_on(cluster, "rollouts.acks", lambda found: any(ack.phase == "succeeded" for ack in found))
    live.close()

    assert {(ack.device_id, ack.revision) for ack in acks} == {("press-7", 2)}


def test_a_stranger_is_refused_in_words_and_the_place_is_kept(tmp_path, foundry, cluster, write):
    write("rollouts.commands", foundry.command(foundry.bundle("1"), 1, signer=foundry.stranger))
    live = Live(tmp_path, foundry, cluster)
    acks = records_on(cluster, "rollouts.acks", lambda found: len(found) >= 1)
    audit = records_on(cluster, "audit.log", lambda found: len(found) >= 1)
    live.close()

    again = Live(tmp_path, foundry, cluster)
    records_on(cluster, "fleet.heartbeats", lambda found: len(found) >= 4)
    again.close()
    later = records_on(cluster, "rollouts.acks", lambda found: len(found) >= 1)

    assert [(ack.revision, ack.phase) for ack in acks] == [(1, "refused")]
    assert acks[0].reason.startswith("the command lacks 1 valid signature(s) by pinned keys")
    assert audit[0].action == "command refused"
    assert len(later) == 1
