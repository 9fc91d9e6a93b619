"""Keys come, go and are revoked without a new enrolment, and never sneak back."""

from dataclasses import replace

import pytest

from trust import (
    Keyring,
    KeyringError,
    Kind,
    UntrustedError,
    admit,
    pin,
    read_keyring,
    revoke,
    rotate,
    seal_keyring,
    succeed,
    write_keyring,
)


@pytest.fixture
def root(party):
    return party("root", Kind.KEYRING)


@pytest.fixture
def pinned(root, trainer):
    return Keyring(keys=(root.pinned, trainer.pinned))


def test_a_keyring_comes_back_from_its_file(pinned, tmp_path):
    write_keyring(tmp_path / "keyring.json", replace(pinned, thresholds={Kind.COMMAND: 2}, revoked={"ab": "lost"}))

    assert read_keyring(tmp_path / "keyring.json").revoked == {"ab": "lost"}
    assert read_keyring(tmp_path / "keyring.json").thresholds == {Kind.COMMAND: 2}
    assert read_keyring(tmp_path / "keyring.json").keys == pinned.keys


def test_a_rotated_keyring_is_taken_on(pinned, root, party):
    fresh = party("trainer-2", Kind.MANIFEST)
    successor = rotate(pinned, "trainer", fresh.pinned, why="yearly rotation")

    taken = succeed(pinned, seal_keyring(successor, [root.signer]))

    assert taken == successor
    assert [key.name for key in taken.keys] == ["root", "trainer-2"]


def test_a_repeat_changes_nothing(pinned, root):
    assert succeed(pinned, seal_keyring(pinned, [root.signer])) == pinned


def test_the_root_key_is_rotated_with_both_signatures(pinned, root, party):
    fresh = party("root-2", Kind.KEYRING)
    successor = rotate(pinned, "root", fresh.pinned, why="yearly rotation")

    assert succeed(pinned, seal_keyring(successor, [root.signer, fresh.signer])) == successor
    with pytest.raises(UntrustedError):
        succeed(pinned, seal_keyring(successor, [fresh.signer]))
    with pytest.raises(UntrustedError):
        succeed(pinned, seal_keyring(successor, [root.signer]))


def test_versions_are_not_skipped(pinned, root, party):
    second = admit(pinned, party("a", Kind.POLICY).pinned)
    third = admit(second, party("b", Kind.POLICY).pinned)

    with pytest.raises(KeyringError, match="version 3 does not follow version 1"):
        succeed(pinned, seal_keyring(third, [root.signer]))
    with pytest.raises(KeyringError, match="version 1 does not follow version 2"):
        succeed(second, seal_keyring(pinned, [root.signer]))


def test_a_revocation_is_never_forgotten(pinned, root):
    second = revoke(pinned, "trainer", why="stolen")
    forgetful = replace(second, version=3, revoked={})

    with pytest.raises(KeyringError, match="forgets"):
        succeed(second, seal_keyring(forgetful, [root.signer]))


def test_a_revoked_key_cannot_be_pinned_again(pinned, trainer):
    with pytest.raises(KeyringError, match="pinned and revoked at once"):
        admit(revoke(pinned, "trainer", why="stolen"), trainer.pinned)


def test_a_key_that_signs_commands_cannot_hand_out_trust(keyring, controller, party):
    with pytest.raises(UntrustedError):
        succeed(keyring, seal_keyring(admit(keyring, party("x", Kind.COMMAND).pinned), [controller.signer]))


@pytest.mark.parametrize("wanted", ["nobody", "", "abcdef01"])
def test_an_unknown_key_is_answered_with_the_known_ones(pinned, wanted):
    with pytest.raises(KeyringError, match="pinned: root, trainer"):
        revoke(pinned, wanted, why="?")


def test_a_key_is_found_by_the_head_of_its_id(pinned, trainer):
    assert trainer.pinned.key_id in revoke(pinned, trainer.pinned.key_id[:12], why="?").revoked


def test_a_key_that_may_sign_nothing_is_not_pinned(trainer):
    with pytest.raises(KeyringError, match="known: checkpoint, command, keyring, manifest, policy"):
        pin("idle", trainer.pinned.key)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("[]", id="a list"),
        pytest.param('{"version": 1, "keys": [{}], "thresholds": {}, "revoked": {}}', id="a key without anything"),
        pytest.param('{"version": 1, "keys": [], "thresholds": {"love": 1}, "revoked": {}}', id="unknown kind"),
        pytest.param('{"version": 1, "keys": [], "thresholds": {"manifest": 0}, "revoked": {}}', id="threshold 0"),
    ],
)
def test_a_broken_keyring_file_is_refused_in_words(text, tmp_path):
    (tmp_path / "keyring.json").write_text(text)

    with pytest.raises(KeyringError):
        read_keyring(tmp_path / "keyring.json")


def test_without_pinned_keys_nothing_is_trusted(tmp_path):
    with pytest.raises(KeyringError, match="nothing is trusted"):
        read_keyring(tmp_path / "keyring.json")
