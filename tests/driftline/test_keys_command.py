"""`driftline keys`, from a first key to a revoked one."""

import stat

import pytest
from click.testing import CliRunner

from driftline.command import main
from trust import Kind, UntrustedError, load_signer, open_envelope, read_keyring, seal, succeed


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def command(*words: str):
        return CliRunner().invoke(main, ["keys", *words])

    return command


@pytest.fixture
def pinned(run):
    for name, kinds in (("root", ["keyring"]), ("trainer", ["manifest"]), ("controller", ["command", "policy"])):
        assert run("make", f"{name}.pem").exit_code == 0
        allowed = [word for kind in kinds for word in ("--may-sign", kind)]
        assert run("pin", name, "--key", f"file:{name}.pem", *allowed, "--keyring", "k.json").exit_code == 0
    return run


def test_a_keyring_is_made_from_nothing(pinned, tmp_path):
    ring = read_keyring(tmp_path / "k.json")

    assert [key.name for key in ring.keys] == ["root", "trainer", "controller"]
    assert ring.keys[2].may_sign == {Kind.COMMAND, Kind.POLICY}
    assert stat.S_IMODE((tmp_path / "root.pem").stat().st_mode) == 0o600
    assert "controller       may sign command, policy" in pinned("list", "--keyring", "k.json").output


def test_a_rotated_key_reaches_devices_by_a_signed_keyring(pinned, tmp_path):
    device = read_keyring(tmp_path / "k.json")
    pinned("make", "trainer-2.pem")

    done = pinned(
        *("rotate", "trainer", "trainer-2", "--key", "file:trainer-2.pem", "--may-sign", "manifest"),
        *("--why", "yearly", "--keyring", "k.json", "--sign", "file:root.pem", "--out", "2.json"),
    )

    assert done.exit_code == 0, done.output
    device = succeed(device, (tmp_path / "2.json").read_text())
    old, new = (
        seal(Kind.MANIFEST, {}, [load_signer(f"file:{tmp_path / name}", environ={})])
        for name in ("trainer.pem", "trainer-2.pem")
    )
    assert open_envelope(new, Kind.MANIFEST, device)
    with pytest.raises(UntrustedError, match="yearly"):
        open_envelope(old, Kind.MANIFEST, device)


def test_a_keyring_that_nobody_entitled_signs_is_not_taken_on(pinned, tmp_path):
    before = (tmp_path / "k.json").read_bytes()

    done = pinned(
        "revoke", "trainer", "--why", "?", "--keyring", "k.json", "--sign", "file:controller.pem", "--out", "2.json"
    )

    assert done.exit_code == 1
    assert "lacks 1 valid signature" in done.output
    assert (tmp_path / "k.json").read_bytes() == before
    assert not (tmp_path / "2.json").exists()


def test_a_device_updates_its_keyring(pinned, tmp_path):
    (tmp_path / "device.json").write_bytes((tmp_path / "k.json").read_bytes())
    pinned("revoke", "trainer", "--why", "lost", "--keyring", "k.json", "--sign", "file:root.pem", "--out", "2.json")

    done = pinned("update", "2.json", "--keyring", "device.json")

    assert "version 2" in done.output
    assert "revoked: lost" in pinned("list", "--keyring", "device.json").output
