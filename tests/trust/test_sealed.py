"""Content that only certain devices can read."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trust import KeyFileError
from trust.errors import SealError
from trust.sealed import is_sealed, load_device_key, make_device_key, public_text, seal_for, unseal


@pytest.fixture(scope="module")
def devices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("devices")
    for name in ("a", "b", "c"):
        make_device_key(folder / name)
    return {name: load_device_key(folder / name) for name in ("a", "b", "c")}


def public(devices, *names):
    return [public_text(devices[name].public_key()) for name in names]


@settings(max_examples=30, deadline=None)
@given(content=st.binary(max_size=5000))
def test_each_recipient_reads_it_and_nobody_else(devices, content):
    sealed = seal_for(content, public(devices, "a", "b"))

    assert is_sealed(sealed)
    assert unseal(sealed, devices["a"]) == unseal(sealed, devices["b"]) == content
    with pytest.raises(SealError, match="encrypted to 2 other devices"):
        unseal(sealed, devices["c"])


def test_what_was_encrypted_shows_nothing_of_itself(devices):
    content = b"the weights of a model" * 100

    assert b"weights" not in seal_for(content, public(devices, "a"))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_whatever_is_changed_is_noticed(devices, data):
    sealed = bytearray(seal_for(b"x" * 100, public(devices, "a")))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))

    with pytest.raises(SealError):
        unseal(bytes(sealed), devices["a"])


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_whatever_is_cut_off_is_noticed(devices, data):
    sealed = seal_for(b"x" * 100, public(devices, "a"))

    with pytest.raises(SealError):
        unseal(sealed[: data.draw(st.integers(0, len(sealed) - 1))], devices["a"])


@pytest.mark.parametrize("text", ["", "x25519:", "x25519:AAAA", "x25519:" + "!" * 44, "ed25519:" + "A" * 44])
def test_a_text_that_is_no_key_is_refused(text):
    with pytest.raises(SealError, match="no device's public key"):
        seal_for(b"", [text])


def test_nobody_is_no_recipient():
    with pytest.raises(SealError, match="nobody could read it"):
        seal_for(b"", [])


def test_a_key_is_its_owners_alone_and_never_overwritten(tmp_path):
    make_device_key(tmp_path / "key")

    with pytest.raises(KeyFileError, match="never overwritten"):
        make_device_key(tmp_path / "key")
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(KeyFileError, match="mode 0644"):
        load_device_key(tmp_path / "key")
