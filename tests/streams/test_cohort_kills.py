"""Drift and cohort workers that are killed at random moments tell of cohorts what undisturbed ones would."""

import threading
import time
from dataclasses import replace
from itertools import groupby

import pytest
from drift_fleet import Fleet
from patience import PATIENCE_S
from worker_processes import WorkerProcesses

from schemas import feeds
from schemas.catalogue import topic_named
from schemas.drift_alert import AlertState
from schemas.fleet import Device, DeviceState
from schemas.wire import Contract
from streams.drift.cohort_merger import OF_COHORTS, Merger
from streams.drift.desk import SOURCE, open_run
from streams.drift.known import Known
from streams.drift.partition import Partition
from streams.drift.policy import own_policy
from streams.drift.references import lay_out
from streams.drift.replay import newest_offset, replayed
from streams.drift.warming import warm_up

# Panes of 20 s, so that several end while the test lasts.
POLICY = own_policy(
    'cohorts = ["region"]\nhorizons_minutes = [1, 2]\n[reporting]\ncomplete_every = 1\n', policy_id="policy"
)
PANE_MS, SETTLE_S = 20_000, 45
SAMPLES = 40
DEVICES = [f"{region}-{number}" for region in ("eu", "us") for number in range(20)]
LABELS = {name: {"region": name[:2]} for name in DEVICES}
FOR_EVER = 2**60
pytestmark = pytest.mark.nightly


@pytest.mark.parametrize(("times", "seed"), [(2, 1), (20, 2)], ids=["2 moments", "20 moments"])
@pytest.mark.timeout(1500)
def test_shares_scores_and_alerts_of_cohorts_agree(cluster, publish, tmp_path, times, seed):
    fleet, panes = Fleet(features=2, samples=SAMPLES), min(6 * times, 40)
    publish("models.grids", [fleet.grid])
    publish("models.baselines", [fleet.baseline])
    publish("fleet.devices", [device(name) for name in DEVICES])
    start_ms = (int(time.time() * 1000) // PANE_MS - panes) * PANE_MS
    log = [windows(fleet, pane, start_ms, shift=0.4 * (panes // 3 < pane < panes - 2)) for pane in range(panes)]
    warm_up()

    made, words = troubled(cluster, publish, log, tmp_path, times, seed)

    assert made["kill"] > 0
    shares = undisturbed_shares(cluster, fleet)
    found = everything(cluster, "drift.cohort-panes", lambda found: found.keys() >= shares.keys(), share_key, words)
    assert found == shares
    scores, alerts = undisturbed_cohorts(fleet, shares.values())
    assert any(one.state is AlertState.FIRING for one in alerts.values())
    told = everything(cluster, "drift.scores", lambda found: found.keys() >= scores.keys(), score_key, words)
    assert told == scores
    assert everything(cluster, "drift.alerts", at_rest(20), alert_key, words) == alerts


def device(name):
    return Device(
        device_id=name, state=DeviceState.ONLINE, labels=LABELS[name], model_id="pump/1", revision=0, registered_ms=0,
        last_seen_ms=0,
    )  # fmt: skip


def windows(fleet, pane, start_ms, *, shift):
    """A window of each device; what is wrong is wrong in eu alone."""
    return [
        replace(
            fleet.window(name, pane, values=fleet.readings(shift=shift * name.startswith("eu"))),
            window_start_ms=start_ms + pane * PANE_MS,
            window_end_ms=start_ms + (pane + 1) * PANE_MS,
        )
        for name in DEVICES
    ]


def troubled(cluster, publish, log, folder, times, seed):
    """Publish a log pane by pane while workers of both kinds have trouble."""
    (folder / "policy.toml").write_text(POLICY.document)
    kinds = {"drift": ("--checkpoint-every-s", "0.5"), "cohorts": ("--settle-s", str(SETTLE_S))}
    over, folders = threading.Event(), {kind: folder / kind for kind in kinds}
    for one in folders.values():
        one.mkdir()

    def write():
        for some in log:
            publish(SOURCE, some)
            over.wait(24.0 * times / len(log))

    workers = {
        kind: WorkerProcesses(cluster, kind, folders[kind], "--policy", str(folder / "policy.toml"), *args)
        for kind, args in kinds.items()
    }
    writer = threading.Thread(target=write)

    def words():
        return "\n".join(one.words() for one in workers.values())

    with workers["drift"], workers["cohorts"]:
        writer.start()
        made = {"kill": 0, "leave": 0}
        for turn in range(times):
            for kind in kinds:
                for what, often in workers[kind].trouble(1, seed=100 * seed + turn).items():
                    made[what] += often
        writer.join()
        # All is told, and judged: after the last tick comes the wait for shares.
        everything(cluster, "drift.cohort-panes", at_rest(PANE_MS / 1000 + 40), share_key, words, within_s=300)
        everything(cluster, "drift.scores", at_rest(SETTLE_S + 30), score_key, words, within_s=300)
    return made, words


def at_rest(for_s):
    """Say whether nothing has come for a while."""
    seen = [0, time.monotonic()]

    def is_at_rest(found):
        if len(found) != seen[0]:
            seen[:] = len(found), time.monotonic()
        return bool(found) and time.monotonic() - seen[1] > for_s

    return is_at_rest


def undisturbed_shares(cluster, fleet):
    """What one worker tells of the log that the broker has, window by window."""
    contract = Contract.connect(cluster)
    known = Known({fleet.grid.grid_id: fleet.grid}, {fleet.baseline.baseline_id: fleet.baseline})
    shares = []
    for number in range(topic_named(SOURCE).partitions):
        partition = Partition(POLICY.rules)
        for run in replayed(cluster, SOURCE, number, 0, newest_offset(cluster, SOURCE, number)):
            for offset, arrived_ms in zip(run.offsets, run.timestamps_ms, strict=True):
                shares += partition.tell(arrived_ms, LABELS, number=number)
                opened = open_run(contract, run.between(offset, offset + 1), known, {}, now_ms=0)
                partition.work(opened.stretches)
        shares += partition.tell(FOR_EVER, LABELS, number=number)
    return {share_key(one): one for one in shares}


def undisturbed_cohorts(fleet, shares):
    """What one worker makes of shares that all come in time."""
    merger, against = Merger(POLICY, settle_ms=SETTLE_S * 1000), lay_out(fleet.grid, fleet.baseline)
    scores, alerts = [], []
    for told_ms, some in groupby(sorted(shares, key=lambda one: one.as_of_ms), key=lambda one: one.as_of_ms):
        for one in some:
            merger.take(one, against, told_ms)
        found = merger.pass_time(told_ms + SETTLE_S * 1000)
        scores += found.scores
        alerts += found.alerts
    return {score_key(one): one for one in scores}, {alert_key(one): one for one in alerts}


def share_key(one):
    return one.cohort, one.source_partition, one.pane_start_ms, one.as_of_ms


def score_key(one):
    return (one.device_id, one.window_end_ms) if one.subject_is_cohort else None


def alert_key(one):
    # Not those that stand for many devices' own alerts: these come and go with the devices'.
    return one.alert_id if one.alert_id.startswith(OF_COHORTS) else None


def everything(cluster, topic, enough, key_of, words, *, within_s=PATIENCE_S):
    """The newest record of each key, once that is enough; what is told twice is told alike."""
    deadline = time.monotonic() + within_s
    with feeds.follow(cluster, topic, from_ms=0) as feed:
        found = {}
        while not enough(found):
            assert time.monotonic() < deadline, words()
            for event in feed.poll(0.5):
                if isinstance(event, feeds.Changed) and (key := key_of(event.value)) is not None:
                    same = found.setdefault(key, event.value) == event.value
                    assert same or topic == "drift.alerts", (found[key], event.value)
                    found[key] = event.value
    return found
