import contextlib
import threading
import time
from dataclasses import replace

import pytest
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from feed_reading import records_on
from patience import PATIENCE_S, eventually

from schemas import feeds
from schemas.errors import DriftlineError
from schemas.operators import AuditEntry
from schemas.topics import create_missing
from schemas.wire import Contract
from streams.rollouts.auditing import Entry, Running, verify
from streams.rollouts.auditor import Auditor, read_entries, verify_log
from trust import Keyring, Kind, load_signer, make_key, pin

# Offsets 3 and 7 are where transactions ended.
ENTRIES = [Entry(0, offset, b"rollout/r1", f"entry {offset}".encode()) for offset in (0, 1, 2, 4, 5, 6, 8, 9)]


def checkpoints_of(entries, every=3):
    running, made = Running(0), []
    for number, entry in enumerate(entries, 1):
        running.add(entry)
        if number % every == 0 or number == len(entries):
            made.append(running.checkpoint(number))
    return made


def test_an_untouched_log_is_proved():
    assert verify(ENTRIES, checkpoints_of(ENTRIES)) == ([], 8)


def test_entries_after_the_last_checkpoint_are_not_yet_covered():
    assert verify([*ENTRIES, Entry(0, 10, b"k", b"v")], checkpoints_of(ENTRIES)) == ([], 8)


@pytest.mark.parametrize("place", range(len(ENTRIES)))
@pytest.mark.parametrize("field", ["key", "value"])
def test_an_altered_entry_is_named(place, field):
    altered = list(ENTRIES)
    altered[place] = replace(altered[place], **{field: b"forged"})

    findings, _ = verify(altered, checkpoints_of(ENTRIES))

    assert [(finding.offset, finding.what) for finding in findings] == [
        (ENTRIES[place].offset, "is not what was signed")
    ]


@pytest.mark.parametrize("place", range(len(ENTRIES)))
def test_a_removed_entry_is_named(place):
    found, _ = verify(ENTRIES[:place] + ENTRIES[place + 1 :], checkpoints_of(ENTRIES))

    assert [(finding.offset, finding.what) for finding in found] == [(ENTRIES[place].offset, "was signed and is gone")]


def test_an_entry_that_was_slipped_in_is_named():
    slipped = Entry(0, 3, b"k", b"never happened")

    findings, _ = verify([*ENTRIES[:3], slipped, *ENTRIES[3:]], checkpoints_of(ENTRIES))

    assert [(finding.offset, finding.what) for finding in findings] == [(3, "stands where nothing was signed")]


def test_bytes_cannot_move_between_key_and_value():
    moved = [replace(ENTRIES[0], key=b"rollout/r1e", value=b"ntry 0"), *ENTRIES[1:]]

    assert verify(moved, checkpoints_of(ENTRIES))[0]


def test_a_checkpoint_that_was_left_out_is_missed():
    first, _second, third = checkpoints_of(ENTRIES)

    findings, _ = verify(ENTRIES, [first, third])

    assert findings[0].offset == 4


def test_what_was_forgotten_by_age_is_not_held_against_the_log():
    made = checkpoints_of(ENTRIES)

    assert verify(ENTRIES[3:], made, begins={0: 3}, forgotten_before_ms=4) == ([], 5)
    assert verify(ENTRIES[4:], made, begins={0: 5}, forgotten_before_ms=7) == ([], 2)


@pytest.mark.parametrize(
    ("begins", "forgotten_before_ms", "first"),
    [
        pytest.param(3, 3, 0, id="the oldest ones, before their time"),
        pytest.param(5, 4, 4, id="more than age has taken"),
        pytest.param(10, 4, 4, id="all that was left"),
    ],
)
def test_what_was_cut_off_before_its_age_is_named(begins, forgotten_before_ms, first):
    left = [entry for entry in ENTRIES if entry.offset >= begins]

    findings, _ = verify(left, checkpoints_of(ENTRIES), begins={0: begins}, forgotten_before_ms=forgotten_before_ms)

    assert [str(one) for one in findings] == [f"audit.log partition 0 offset {first}: was signed and is gone"]


@pytest.fixture
def audited(cluster, tmp_path):
    make_key(tmp_path / "auditor.pem")
    signer = load_signer(f"file:{tmp_path / 'auditor.pem'}", environ={})
    return cluster, signer, Keyring(keys=(pin("auditor", signer.public_key, Kind.CHECKPOINT),))


def write(cluster, reasons):
    from confluent_kafka import Producer

    contract = Contract.connect(cluster)
    contract.register("audit.log")
    producer = Producer(cluster.client_settings())
    for why in reasons:
        entry = AuditEntry(subject="rollout/r1", action="paused", who="eve", why=why, at_ms=1)
        key, value = contract.encode("audit.log", entry)
        producer.produce(cluster.named("audit.log"), key=key, value=value, partition=0)
    producer.flush(PATIENCE_S)


def now_ms():
    return time.time_ns() // 1_000_000


def audit(cluster, signer, keyring, entries):
    """Let an auditor work until it has signed so many entries."""
    auditor = Auditor(cluster, [signer], keyring, every_s=0.3)
    thread = threading.Thread(target=auditor.run)
    thread.start()
    records_on(cluster, "audit.checkpoints", lambda found: sum(len(one.marks) for one in found) == entries)
    auditor.stop()
    thread.join(PATIENCE_S)


def test_a_log_on_kafka_is_proved_and_a_forged_one_is_not(audited):
    cluster, signer, keyring = audited
    write(cluster, ["lunch", "dinner"])
    audit(cluster, signer, keyring, entries=2)
    write(cluster, ["breakfast"])
    audit(cluster, signer, keyring, entries=3)
    assert verify_log(cluster, keyring, now_ms=now_ms()) == ([], 3)

    # Whoever may delete records can cut the log off; not unseen.
    admin = AdminClient(cluster.client_settings())
    place = TopicPartition(cluster.named("audit.log"), 0, 1)
    admin.delete_records([place])[place].result(PATIENCE_S)
    findings, _ = verify_log(cluster, keyring, now_ms=now_ms())
    assert [str(finding) for finding in findings] == ["audit.log partition 0 offset 0: was signed and is gone"]

    # Whoever may delete the topic may write another history; not one that was signed.
    admin.delete_topics([cluster.named("audit.log")])[cluster.named("audit.log")].result(PATIENCE_S)
    eventually(lambda: cluster.named("audit.log") not in admin.list_topics(timeout=PATIENCE_S).topics)
    create_missing(cluster)
    write(cluster, ["lunch", "nothing", "breakfast"])

    def verified():
        # A partition that was made a moment ago may have no leader yet.
        with contextlib.suppress(KafkaException):
            return verify_log(cluster, keyring, now_ms=now_ms())

    findings, _ = eventually(verified)

    assert [str(finding) for finding in findings] == ["audit.log partition 0 offset 1: is not what was signed"]
    assert len(list(read_entries(cluster))) == 3


def test_a_checkpoint_signed_by_somebody_else_is_refused(audited, tmp_path):
    cluster, _signer, keyring = audited
    make_key(tmp_path / "other.pem")
    other = load_signer(f"file:{tmp_path / 'other.pem'}", environ={})
    write(cluster, ["lunch"])
    audit(cluster, other, keyring, entries=1)

    with pytest.raises(DriftlineError, match=r"audit\.checkpoints partition 0 offset 0"):
        verify_log(cluster, keyring, now_ms=now_ms())

    assert feeds.partition_of("0", 1) == 0
