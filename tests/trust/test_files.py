"""A file is there whole or not at all."""

import resource
import signal

import pytest

from trust import write_whole


def test_a_new_content_replaces_the_old_one(tmp_path):
    write_whole(tmp_path / "f", b"one")
    write_whole(tmp_path / "f", b"two")

    assert (tmp_path / "f").read_bytes() == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


@pytest.fixture
def no_room():
    """Let the kernel refuse to write a file longer than 64 KiB, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


def test_no_room_leaves_the_old_content_and_nothing_else(tmp_path, no_room):
    write_whole(tmp_path / "f", b"old")

    with pytest.raises(OSError, match="File too large") as found:
        write_whole(tmp_path / "f", bytes(1024**2))

    assert found.value.filename == str(tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
