"""An envelope is opened by those who pinned its signer for its kind, and by nobody else."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trust import (
    EnvelopeError,
    Keyring,
    Kind,
    RevokedKeyError,
    UntrustedError,
    WrongKindError,
    open_envelope,
    revoke,
    seal,
)


def altered(envelope: str, **changes) -> str:
    return json.dumps({**json.loads(envelope), **changes})


def test_what_was_sealed_is_opened(keyring, trainer):
    envelope = seal(Kind.MANIFEST, {"model": "m", "limit": 0.5}, [trainer.signer])

    opened = open_envelope(envelope, Kind.MANIFEST, keyring)

    assert opened.fields == {"model": "m", "limit": 0.5}
    assert opened.signed_by == (trainer.pinned.key_id,)


def test_equal_fields_give_equal_envelopes(trainer):
    one = seal(Kind.MANIFEST, {"a": 1, "b": 2}, [trainer.signer])
    other = seal(Kind.MANIFEST, {"b": 2, "a": 1}, [trainer.signer])

    assert one == other


def test_one_kind_is_never_taken_for_another(keyring, trainer):
    envelope = seal(Kind.MANIFEST, {"model": "m"}, [trainer.signer])

    with pytest.raises(WrongKindError, match=r"manifest.*wanted.*command"):
        open_envelope(envelope, Kind.COMMAND, keyring)


def test_renaming_the_kind_breaks_the_signature(party):
    both = party("both", Kind.MANIFEST, Kind.COMMAND)
    envelope = seal(Kind.MANIFEST, {"model": "m"}, [both.signer])

    with pytest.raises(UntrustedError):
        open_envelope(altered(envelope, payloadType=Kind.COMMAND.value), Kind.COMMAND, Keyring(keys=(both.pinned,)))


def test_a_key_signs_only_the_kinds_it_is_pinned_for(keyring, trainer):
    envelope = seal(Kind.COMMAND, {"device_id": "d"}, [trainer.signer])

    with pytest.raises(UntrustedError, match="lacks 1 valid signature"):
        open_envelope(envelope, Kind.COMMAND, keyring)


def test_an_unknown_signer_is_refused(keyring, party):
    stranger = party("stranger", Kind.MANIFEST)

    with pytest.raises(UntrustedError, match=f"signed by {stranger.pinned.key_id:.12}"):
        open_envelope(seal(Kind.MANIFEST, {}, [stranger.signer]), Kind.MANIFEST, keyring)


def test_a_stranger_under_a_pinned_key_id_is_refused(keyring, trainer, party):
    envelope = json.loads(seal(Kind.MANIFEST, {}, [party("stranger", Kind.MANIFEST).signer]))
    envelope["signatures"][0]["keyid"] = trainer.pinned.key_id

    with pytest.raises(UntrustedError):
        open_envelope(json.dumps(envelope), Kind.MANIFEST, keyring)


def test_a_revoked_key_is_named_with_the_reason(keyring, trainer):
    envelope = seal(Kind.MANIFEST, {}, [trainer.signer])

    with pytest.raises(RevokedKeyError, match="laptop stolen"):
        open_envelope(envelope, Kind.MANIFEST, revoke(keyring, "trainer", why="laptop stolen"))


def test_a_threshold_counts_distinct_keys(party):
    one, two = party("one", Kind.MANIFEST), party("two", Kind.MANIFEST)
    keyring = Keyring(keys=(one.pinned, two.pinned), thresholds={Kind.MANIFEST: 2})

    opened = open_envelope(seal(Kind.MANIFEST, {}, [one.signer, two.signer]), Kind.MANIFEST, keyring)

    assert opened.signed_by == tuple(sorted((one.pinned.key_id, two.pinned.key_id)))
    with pytest.raises(UntrustedError, match="lacks 2 valid"):
        open_envelope(seal(Kind.MANIFEST, {}, [one.signer, one.signer]), Kind.MANIFEST, keyring)


def test_one_signature_given_twice_counts_once(party):
    one, two = party("one", Kind.MANIFEST), party("two", Kind.MANIFEST)
    keyring = Keyring(keys=(one.pinned, two.pinned), thresholds={Kind.MANIFEST: 2})
    envelope = json.loads(seal(Kind.MANIFEST, {}, [one.signer]))
    envelope["signatures"] *= 2

    with pytest.raises((EnvelopeError, UntrustedError)):
        open_envelope(json.dumps(envelope), Kind.MANIFEST, keyring)


def test_nobody_signing_is_an_error():
    with pytest.raises(UntrustedError, match="nobody signs this manifest"):
        seal(Kind.MANIFEST, {}, [])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("null", id="null"),
        pytest.param("[" * 100_000, id="deeply nested"),
        pytest.param("{}", id="empty object"),
        pytest.param('{"payload": 3, "payloadType": "x", "signatures": []}', id="payload is a number"),
        pytest.param('{"payload": "", "payloadType": "x", "signatures": 3}', id="signatures is a number"),
        pytest.param('{"payload": "", "payloadType": 1, "signatures": []}', id="type is a number"),
        pytest.param('{"payload": "", "payloadType": "x", "signatures": [{"keyid": [], "sig": ""}]}', id="odd key id"),
        pytest.param("x" * (4 * 1024**2 + 1), id="too long"),
    ],
)
def test_what_is_no_envelope_is_refused_in_words(text, keyring):
    with pytest.raises((EnvelopeError, WrongKindError)):
        open_envelope(text, Kind.MANIFEST, keyring)


def test_unsigned_is_refused(keyring, trainer):
    envelope = seal(Kind.MANIFEST, {}, [trainer.signer])

    with pytest.raises(UntrustedError, match="signed by nobody"):
        open_envelope(altered(envelope, signatures=[]), Kind.MANIFEST, keyring)


def test_nothing_is_parsed_before_it_is_verified(keyring, trainer):
    envelope = altered(seal(Kind.MANIFEST, {}, [trainer.signer]), payload=base64.b64encode(b"{ not JSON").decode())

    with pytest.raises(UntrustedError):
        open_envelope(envelope, Kind.MANIFEST, keyring)


SIGNED_FIELDS = st.dictionaries(st.text(max_size=8), st.text(max_size=8) | st.integers(-(2**50), 2**50), max_size=4)


@given(fields=SIGNED_FIELDS, flip=st.integers(min_value=0))
def test_any_flipped_payload_bit_is_noticed(signing_party, fields, flip):
    keyring = Keyring(keys=(signing_party.pinned,))
    envelope = seal(Kind.MANIFEST, fields, [signing_party.signer])
    payload = bytearray(base64.b64decode(json.loads(envelope)["payload"]))
    payload[flip // 8 % len(payload)] ^= 1 << flip % 8

    with pytest.raises(UntrustedError):
        open_envelope(altered(envelope, payload=base64.b64encode(payload).decode()), Kind.MANIFEST, keyring)

    assert open_envelope(envelope, Kind.MANIFEST, keyring).fields == fields


@pytest.fixture(scope="module")
def signing_party(tmp_path_factory):
    from trust import load_signer, make_key, pin

    path = tmp_path_factory.mktemp("keys") / "k.pem"
    key = make_key(path)

    class Party:
        pinned = pin("k", key, Kind.MANIFEST)
        signer = load_signer(f"file:{path}", environ={})

    return Party
