"""Keys are made once, kept close, and never guessed."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from trust import KeyFileError, Keyring, Kind, load_signer, make_key, open_envelope, pin, seal
from trust.keys import PIN_VARIABLE

SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")


def test_a_new_key_is_readable_by_its_owner_alone(tmp_path):
    make_key(tmp_path / "k.pem")

    assert stat.S_IMODE((tmp_path / "k.pem").stat().st_mode) == 0o600


def test_a_key_is_never_overwritten(tmp_path):
    make_key(tmp_path / "k.pem")
    before = (tmp_path / "k.pem").read_bytes()

    with pytest.raises(KeyFileError, match="never overwritten"):
        make_key(tmp_path / "k.pem")

    assert (tmp_path / "k.pem").read_bytes() == before


def test_a_file_and_a_variable_give_the_same_signer(tmp_path):
    key = make_key(tmp_path / "k.pem")
    pem = (tmp_path / "k.pem").read_text()

    from_file = load_signer(f"file:{tmp_path / 'k.pem'}", environ={})
    from_variable = load_signer("env:SIGNING_KEY", environ={"SIGNING_KEY": pem})

    assert from_file.public_key == from_variable.public_key == key


def test_a_key_that_others_can_read_is_refused(tmp_path):
    make_key(tmp_path / "k.pem")
    (tmp_path / "k.pem").chmod(0o640)

    with pytest.raises(KeyFileError, match="mode 0640; wanted 0600"):
        load_signer(f"file:{tmp_path / 'k.pem'}", environ={})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param("", "unknown key source ''; known: file:PATH, env:NAME", id="no source, no default key"),
        pytest.param("file:", "unknown key source", id="no path"),
        pytest.param("env:NOPE", "NOPE is not set", id="variable is not set"),
        pytest.param("file:/nowhere/k.pem", "No such file", id="file is missing"),
        pytest.param("hsm:2", f"{PIN_VARIABLE} is not set", id="token without its PIN"),
    ],
)
def test_a_source_without_a_key_says_what_is_wanted(source, message):
    with pytest.raises(KeyFileError, match=message):
        load_signer(source, environ={})


def test_a_key_file_that_is_not_there_can_be_made(tmp_path):
    with pytest.raises(KeyFileError) as refusal:
        load_signer(f"file:{tmp_path / 'k.pem'}", environ={})

    assert refusal.value.hint == f"`driftline keys make {tmp_path / 'k.pem'}` makes a key"


def test_another_kind_of_key_is_refused_without_showing_it(tmp_path):
    pem = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    with pytest.raises(KeyFileError, match="wanted an Ed25519 private key") as refusal:
        load_signer("env:K", environ={"K": pem})

    assert pem.splitlines()[1] not in str(refusal.value)


@pytest.mark.skipif(
    not SOFTHSM.exists() or not shutil.which("softhsm2-util"),
    reason="no PKCS#11 token: Debian's softhsm2 is not installed",
)
def test_a_pkcs11_token_signs_without_giving_its_key(tmp_path, monkeypatch):
    pkcs11 = pytest.importorskip("pkcs11")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    monkeypatch.setenv("PYKCS11LIB", str(SOFTHSM))
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "fleet", "--pin", "1234", "--so-pin", "4321"],
        check=True,
        capture_output=True,
        env=os.environ,
    )
    with pkcs11.lib(str(SOFTHSM)).get_token(token_label="fleet").open(user_pin="1234", rw=True) as session:  # noqa: S106
        curve = session.create_domain_parameters(
            pkcs11.KeyType.EC,
            {pkcs11.Attribute.EC_PARAMS: pkcs11.util.ec.encode_named_curve_parameters("secp256r1")},
            local=True,
        )
        curve.generate_keypair(store=True, label="k", id=b"\x07")

    signer = load_signer("hsm:7?label=fleet", environ={PIN_VARIABLE: "1234"})
    envelope = seal(Kind.MANIFEST, {"model": "m"}, [signer])

    keyring = Keyring(keys=(pin("token", signer.public_key, Kind.MANIFEST),))
    assert open_envelope(envelope, Kind.MANIFEST, keyring).fields == {"model": "m"}
