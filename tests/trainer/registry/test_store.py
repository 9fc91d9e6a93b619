"""A bundle in a store is whole and is the one that its name says."""

import hashlib

import pytest

from trainer.errors import RegistryError
from trainer.registry import open_store
from trainer.registry.store import bundle_name


@pytest.fixture(params=["folder", "object store"])
def store(request, tmp_path):
    return open_store(str(tmp_path / "store") if request.param == "folder" else f"memory://{tmp_path.name}")


def named(content: bytes) -> str:
    return bundle_name(hashlib.sha256(content).hexdigest())


def test_what_was_put_is_got_listed_and_deleted(store):
    store.put(named(b"one"), b"one")
    store.put("keyrings/2.json", b"{}")

    assert store.get(named(b"one")) == b"one"
    assert dict(store.sizes("bundles")) == {named(b"one"): 3}
    assert store.modified_ms(named(b"one")) > 1_600_000_000_000
    store.delete(named(b"one"))
    store.delete(named(b"one"))
    assert dict(store.sizes("bundles")) == {}
    assert dict(store.sizes("keyrings")) == {"keyrings/2.json": 2}


def test_a_bundle_under_another_digest_is_refused(store):
    with pytest.raises(RegistryError, match="does not have the digest"):
        store.put(named(b"one"), b"two")


@pytest.mark.parametrize(
    "name", ["../evil", "bundles/../../x", "/etc/passwd", "bundles/abc.bundle", "", "keyrings/x.js"]
)
def test_no_name_leads_out_of_the_store(store, name):
    for ask in (store.get, store.delete, lambda name: store.put(name, b"")):
        with pytest.raises(RegistryError, match="is no name of a store"):
            ask(name)


def test_a_missing_bundle_is_named(store):
    with pytest.raises(RegistryError, match=f"{named(b'x')} is not in the store"):
        store.get(named(b"x"))


def test_a_full_disk_leaves_no_half_bundle(tmp_path, no_room):
    store, content = open_store(str(tmp_path / "store")), bytes(1024**2)

    with pytest.raises(RegistryError, match="File too large; nothing of it was kept"):
        store.put(named(content), content)

    assert dict(store.sizes("bundles")) == {}
    assert list((tmp_path / "store" / "bundles").iterdir()) == []


def test_an_unknown_kind_of_store_is_refused_in_words():
    with pytest.raises(RegistryError, match="cannot be opened"):
        open_store("gopher://x")


def test_a_folder_may_be_named_as_a_url(tmp_path, no_room):
    store, content = open_store(f"file://{tmp_path}/store"), bytes(1024**2)

    with pytest.raises(RegistryError, match="nothing of it was kept"):
        store.put(named(content), content)

    assert list((tmp_path / "store" / "bundles").iterdir()) == []


def test_an_object_store_that_refuses_says_so(tmp_path, monkeypatch):
    store = open_store(f"memory://{tmp_path.name}")
    for method in ("pipe_file", "cat_file"):
        monkeypatch.setattr(store._files, method, refuse)

    with pytest.raises(RegistryError, match=r"was not stored: .*no more room in this bucket"):
        store.put(named(b"one"), b"one")
    with pytest.raises(RegistryError, match=r"cannot be read: .*no more room in this bucket"):
        store.get(named(b"one"))


def refuse(*_: object) -> None:
    raise OSError("no more room in this bucket")
