"""Keys that follow one another on the device, and bundles that only it can read."""

import hashlib
from dataclasses import replace

import pytest

from edge_gateway.config import UpdateConfig
from edge_gateway.trusted import Trusted
from trust import Kind, UntrustedError, admit, load_signer, make_key, pin, revoke, seal_keyring
from trust.sealed import make_device_key, seal_for


@pytest.fixture
def root(tmp_path):
    """Who may name the keyring's successors."""
    make_key(tmp_path / "root.pem")
    return load_signer(f"file:{tmp_path / 'root.pem'}", environ={})


@pytest.fixture
def newcomer(tmp_path):
    make_key(tmp_path / "newcomer.pem")
    return load_signer(f"file:{tmp_path / 'newcomer.pem'}", environ={})


@pytest.fixture
def pinned(foundry, root):
    return replace(foundry.keyring, keys=(*foundry.keyring.keys, pin("root", root.public_key, Kind.KEYRING)))


@pytest.fixture
def served(tmp_path):
    folder = tmp_path / "keyrings"
    folder.mkdir()
    return folder


@pytest.fixture
def rotating(played, pinned, served, foundry):
    """Make a gateway that follows the keyrings in a folder."""
    before = foundry.keyring
    foundry.keyring = pinned
    yield lambda: played(updates=UpdateConfig(reserve_bytes=0, keyrings=served.as_uri()))
    foundry.keyring = before


def publish(served, keyring, *signers):
    (served / f"{keyring.version}.json").write_text(seal_keyring(keyring, signers))
    return keyring


def test_a_command_by_a_new_key_waits_for_the_keyring_that_admits_it(rotating, pinned, served, foundry, root, newcomer):
    gateway = rotating()
    gateway.tick(5)
    publish(served, admit(pinned, pin("newcomer", newcomer.public_key, Kind.COMMAND)), root)

    gateway.tell(foundry.command(foundry.bundle("1"), 1, signer=newcomer))
    gateway.tick(10)

    assert gateway.acks()[0] == (1, "received")
    assert "keyring taken" in [entry.action for entry in gateway.sent("audit.log")]


def test_what_no_successor_admits_is_refused_after_all(rotating, foundry):
    gateway = rotating()

    gateway.tell(foundry.command(foundry.bundle("1"), 1, signer=foundry.stranger))
    gateway.tick(10)

    assert gateway.acks() == [(1, "refused")]


def test_a_bundle_by_a_new_trainer_waits_as_well(rotating, pinned, served, foundry, root, newcomer):
    gateway = rotating()
    gateway.tick(5)
    publish(served, admit(pinned, pin("newcomer", newcomer.public_key, Kind.MANIFEST)), root)

    gateway.tell(foundry.command(foundry.bundle("1", signer=newcomer), 1))
    gateway.tick(10)
    gateway.now_ms += 10_000
    gateway.tick(5)

    assert [phase for _, phase in gateway.acks()] == ["received", "downloading", "installed", "trial"]


def test_a_revoked_key_is_refused_from_then_on_even_after_a_restart(rotating, pinned, served, foundry, root):
    gateway = rotating()
    publish(served, revoke(pinned, "controller", why="stolen"), root)
    gateway.tick(5)
    gateway.restart()

    gateway.tell(foundry.command(foundry.bundle("1"), 1))
    gateway.tick(10)

    assert gateway.acks() == [(1, "refused")]
    assert "revoked key" in gateway.sent("rollouts.acks")[0].reason


def test_a_device_that_missed_some_takes_all_of_them_in_order(pinned, served, root, newcomer, rotating, foundry):
    second = publish(served, admit(pinned, pin("newcomer", newcomer.public_key, Kind.COMMAND)), root)
    publish(served, revoke(second, "controller", why="retired"), root)
    gateway = rotating()

    gateway.tick(10)
    gateway.tell(foundry.command(foundry.bundle("1"), 1, signer=newcomer))
    gateway.tick(10)

    assert gateway.gateway._trusted.keyring.version == 3
    assert gateway.acks()[0] == (1, "received")


@pytest.mark.parametrize("envelope", [b"", b"{}", b"\xff" * 100])
def test_a_successor_that_is_none_costs_nothing_else(rotating, served, envelope, foundry):
    (served / "2.json").write_bytes(envelope)
    gateway = rotating()

    gateway.tick(5)
    gateway.tell(foundry.command(foundry.bundle("1"), 1))
    gateway.tick(5)

    assert gateway.acks()[0] == (1, "received")


def test_a_successor_by_a_stranger_is_not_taken_nor_believed_from_the_disk(tmp_path, pinned, foundry):
    forged = seal_keyring(admit(pinned, pin("me", foundry.stranger.public_key, Kind.COMMAND)), [foundry.stranger])
    trusted = Trusted(pinned, tmp_path / "taken")

    with pytest.raises(UntrustedError):
        trusted.take(forged.encode())
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "2.json").write_text(forged)

    assert Trusted(pinned, tmp_path / "taken").keyring == pinned


def sealed(foundry, tmp_path, *keys):
    """A bundle that is served encrypted."""
    made = foundry.bundle("1")
    content = seal_for(made.content, keys)
    path = tmp_path / "sealed.bundle"
    path.write_bytes(content)
    return replace(made, content=content, path=path, sha256=hashlib.sha256(content).hexdigest())


def test_a_bundle_that_is_encrypted_to_the_device_serves_and_lies_encrypted_on_its_disk(tmp_path, played, foundry):
    public = make_device_key(tmp_path / "device.key")
    other = make_device_key(tmp_path / "other.key")
    made = sealed(foundry, tmp_path, other, public)
    gateway = played(updates=UpdateConfig(reserve_bytes=0, device_key=tmp_path / "device.key"))

    gateway.tell(foundry.command(made, 1))
    gateway.tick(5)
    gateway.run(45)
    gateway.restart()
    gateway.tick(2)

    assert gateway.acks()[-1] == (1, "succeeded")
    assert gateway.gateway.serving.model_id == "demo/1"
    assert gateway.gateway.slots.path("A").read_bytes() == made.content


@pytest.mark.parametrize(
    ("own", "says"),
    [
        pytest.param("stranger.key", "encrypted to 1 other devices, not to this one", id="to another"),
        pytest.param(None, "the bundle is encrypted, and this device has no key", id="no key"),
    ],
)
def test_a_bundle_that_the_device_cannot_read_is_refused_in_words(tmp_path, played, foundry, own, says):
    public = make_device_key(tmp_path / "device.key")
    make_device_key(tmp_path / "stranger.key")
    made = sealed(foundry, tmp_path, public)
    gateway = played(updates=UpdateConfig(reserve_bytes=0, device_key=tmp_path / own if own else None))

    gateway.tell(foundry.command(made, 1))
    gateway.tick(5)

    assert gateway.acks()[-1] == (1, "refused")
    assert says in gateway.sent("rollouts.acks")[-1].reason
