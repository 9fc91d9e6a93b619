"""The offline store keeps each record once, whatever was written twice."""

import pytest

from trainer.data.offline import DAY_MS, OfflineStore, Stored
from trainer.errors import DatasetError


def stored(records, first: int = 0, partition: int = 0) -> list[Stored]:
    return [Stored(partition, first + number, record) for number, record in enumerate(records)]


def joined(store: OfflineStore, **changes):
    return store.assemble("machine/1", **{"from_ms": 0, "to_ms": 10 * DAY_MS, "as_of_ms": 10 * DAY_MS, **changes})


def test_what_was_added_is_assembled(tmp_path, sample, label):
    store = OfflineStore(tmp_path)
    store.add(stored([sample(1), sample(2)]))
    store.add(stored([label(2, 1.0, 5_000)]))

    found = joined(store)

    assert found.dataset.at_ms.tolist() == [1_000, 2_000]
    assert found.dataset.matrix[:, 0].tolist() == [1.0, 2.0]
    assert found.dataset.label[1] == 1.0


def test_days_lie_in_folders_of_their_own(tmp_path, sample):
    store = OfflineStore(tmp_path)

    files = store.add(stored([sample(1), sample(2, at_ms=3 * DAY_MS + 5)]))

    assert [path.parent.name for path in files] == ["day=0", "day=3"]
    assert joined(store, to_ms=DAY_MS).dataset.at_ms.tolist() == [1_000]


def test_overlapping_files_of_a_killed_sink_count_once(tmp_path, sample):
    store = OfflineStore(tmp_path)
    store.add(stored([sample(1), sample(2)]))
    store.add(stored([sample(1), sample(2), sample(3)]))
    store.add(stored([sample(4)], partition=1))

    found = joined(store)

    assert found.dataset.at_ms.tolist() == [1_000, 2_000, 3_000, 4_000]
    assert found.repeats == 0


def test_a_label_of_later_days_is_found_but_not_one_of_the_future(tmp_path, sample, label):
    store = OfflineStore(tmp_path)
    store.add(stored([sample(1), sample(2)]))
    store.add(stored([label(1, 1.0, 5 * DAY_MS), label(2, 1.0, 9 * DAY_MS)]))

    found = joined(store, to_ms=DAY_MS, as_of_ms=6 * DAY_MS)

    assert found.labels_used == 1
    assert found.dataset.label[0] == 1.0


def test_a_part_of_a_file_is_never_read(tmp_path, sample):
    store = OfflineStore(tmp_path)
    (path,) = store.add(stored([sample(1)]))
    path.with_name(".cut.parquet.x.part").write_bytes(path.read_bytes()[:50])

    assert len(joined(store).dataset) == 1


def test_a_damaged_file_is_named(tmp_path, sample):
    store = OfflineStore(tmp_path)
    (path,) = store.add(stored([sample(1)]))
    path.write_bytes(path.read_bytes()[:50])

    with pytest.raises(DatasetError, match="holds a damaged file"):
        joined(store)


def test_an_empty_store_has_no_data(tmp_path):
    assert len(joined(OfflineStore(tmp_path)).dataset) == 0
