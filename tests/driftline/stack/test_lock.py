"""What the lock pins, and how it is written."""

import pytest

from driftline.stack.lock import LOCK_FILE, Coordinate, read_lock, write_lock


def test_writing_what_was_read_changes_nothing(tmp_path):
    write_lock(read_lock(), tmp_path / "lock.json")

    assert (tmp_path / "lock.json").read_text() == LOCK_FILE.read_text()


def test_the_lock_pins_everything_and_names_no_address():
    lock = read_lock()

    names = {str(coordinate) for coordinate in lock.kafka}
    assert {"org.apache.kafka:kafka_2.13:4.3.1", "org.slf4j:slf4j-simple:1.7.36"} <= names
    assert str(lock.registry) == "io.apicurio:apicurio-registry-app:3.3.3:all:tar.gz"
    pins = [lock.registry_archive, *lock.kafka.values(), *lock.registry_files.values()]
    assert all(len(pin.sha256) == 64 and pin.size >= 0 for pin in pins)
    assert "://" not in LOCK_FILE.read_text()


@pytest.mark.parametrize("text", ["group:artifact", "g:a:1:classifier", "g::1"])
def test_half_a_coordinate_is_refused_with_its_form(text):
    with pytest.raises(ValueError, match=r"is not group:artifact:version\[:classifier:packaging\]"):
        Coordinate.parse(text)
