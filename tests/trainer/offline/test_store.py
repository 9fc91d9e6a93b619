"""The offline store keeps each record once, in files that any tool reads."""

import numpy as np
import pyarrow.dataset
import pytest

from trainer.errors import DatasetError
from trainer.offline.files import DAY_MS, Stored, files_of, merge_small
from trainer.offline.kinds import LABELS, SAMPLES
from trainer.offline.place import Place, write_place
from trainer.offline.store import OfflineStore


def stored(records, first: int = 0, partition: int = 0) -> list[Stored]:
    return [Stored(0, partition, first + number, record) for number, record in enumerate(records)]


def joined(store: OfflineStore, **changes):
    return store.assemble("machine/1", **{"from_ms": 0, "to_ms": 10 * DAY_MS, "as_of_ms": 10 * DAY_MS, **changes})


def test_what_was_added_is_assembled(tmp_path, sample, label):
    store = OfflineStore(tmp_path)
    store.add(SAMPLES, stored([sample(1), sample(2)]))
    store.add(LABELS, stored([label(2, 1.0, 5_000)]))

    found = joined(store)

    assert found.dataset.at_ms.tolist() == [1_000, 2_000]
    assert found.dataset.matrix[:, 0].tolist() == [1.0, 2.0]
    assert found.dataset.label[1] == 1.0


def test_days_lie_in_folders_of_their_own(tmp_path, sample):
    store = OfflineStore(tmp_path)

    files = store.add(SAMPLES, stored([sample(1), sample(2, at_ms=3 * DAY_MS + 5)]))

    assert [path.parent.name for path in files] == ["day=0", "day=3"]
    assert joined(store, to_ms=DAY_MS).dataset.at_ms.tolist() == [1_000]


def test_files_that_overlap_count_each_record_once(tmp_path, sample):
    store = OfflineStore(tmp_path)
    store.add(SAMPLES, stored([sample(1), sample(2)]))
    store.add(SAMPLES, stored([sample(2), sample(3)], first=1))
    store.add(SAMPLES, stored([sample(4)], partition=1))

    found = joined(store)

    assert found.dataset.at_ms.tolist() == [1_000, 2_000, 3_000, 4_000]
    assert found.repeats == 0


def test_many_small_files_of_a_day_become_one_and_say_the_same(tmp_path, sample):
    store = OfflineStore(tmp_path)
    for number in range(20):
        (path,) = store.add(SAMPLES, stored([sample(number)], first=number))
    (other,) = store.add(SAMPLES, stored([sample(99)], partition=1))
    before = joined(store).dataset.fingerprint()

    (whole,) = merge_small(path.parent, SAMPLES)

    assert files_of(path.parent) == sorted([whole, other])
    assert sorted(path.parent.iterdir()) == sorted([whole, other])
    assert joined(store).dataset.fingerprint() == before


def test_parts_that_a_killed_merge_left_count_for_nothing(tmp_path, sample):
    store = OfflineStore(tmp_path)
    (part,) = store.add(SAMPLES, stored([sample(1)], first=1))
    (whole,) = store.add(SAMPLES, stored([sample(0), sample(1), sample(2)]))

    assert files_of(part.parent) == [whole]
    assert len(store.table(SAMPLES, from_ms=0, to_ms=DAY_MS)) == 3


def test_other_tools_read_the_store(tmp_path, sample):
    OfflineStore(tmp_path).add(SAMPLES, stored([sample(1), sample(2, at_ms=3 * DAY_MS)]))

    read = pyarrow.dataset.dataset(tmp_path / "samples", format="parquet", partitioning="hive").to_table()

    assert sorted(zip(read["day"].to_pylist(), read["device_id"].to_pylist(), strict=True)) == [(0, "a"), (3, "a")]


@pytest.mark.usefixtures("no_room")
def test_a_full_disk_leaves_no_half_file(tmp_path, sample):
    rng = np.random.default_rng(0)
    noise = [sample(number, features=rng.bytes(64)) for number in range(3_000)]

    with pytest.raises(DatasetError, match="was not written, and nothing of it is left: File too large"):
        OfflineStore(tmp_path).add(SAMPLES, stored(noise))

    assert list((tmp_path / "samples" / "day=0").iterdir()) == []


def test_a_place_that_cannot_be_written_is_named_with_what_still_holds(tmp_path):
    (tmp_path / "positions").write_text("somebody else's file")

    with pytest.raises(DatasetError) as refused:
        write_place(tmp_path, SAMPLES, Place())

    assert str(refused.value).startswith(f"{tmp_path}/positions/telemetry.samples.json was not written: ")
    assert "the files since then do not count, and are written again" in str(refused.value)
    assert "start the sink again" in refused.value.hint


def test_a_label_of_later_days_is_found_but_not_one_of_the_future(tmp_path, sample, label):
    store = OfflineStore(tmp_path)
    store.add(SAMPLES, stored([sample(1), sample(2)]))
    store.add(LABELS, stored([label(1, 1.0, 5 * DAY_MS), label(2, 1.0, 9 * DAY_MS)]))

    found = joined(store, to_ms=DAY_MS, as_of_ms=6 * DAY_MS)

    assert found.labels_used == 1
    assert found.dataset.label[0] == 1.0


def test_a_part_of_a_file_is_never_read(tmp_path, sample):
    store = OfflineStore(tmp_path)
    (path,) = store.add(SAMPLES, stored([sample(1)]))
    path.with_name(".cut.parquet.x.part").write_bytes(path.read_bytes()[:50])

    assert len(joined(store).dataset) == 1


def test_a_damaged_file_is_named(tmp_path, sample):
    store = OfflineStore(tmp_path)
    (path,) = store.add(SAMPLES, stored([sample(1)]))
    path.write_bytes(path.read_bytes()[:50])

    with pytest.raises(DatasetError, match="holds a damaged file"):
        joined(store)


def test_an_empty_store_has_no_data(tmp_path):
    assert len(joined(OfflineStore(tmp_path)).dataset) == 0
