"""Signatures: whoever has the secret knows that it was us, what we said, and when."""

import pytest

from streams.webhooks import Secret, SignatureError, signature_headers, verify

OLD, NEW = Secret(b"o" * 32), Secret(b"n" * 32)
BODY = b'{"phase":"succeeded"}'


def headers(*secrets, at_s=1_000):
    return signature_headers(secrets, event_id="t/0/7", at_s=at_s, body=BODY)


def test_what_was_signed_is_verified():
    assert verify(headers(NEW), BODY, [NEW], now_s=1_200) == "t/0/7"


def test_while_a_secret_is_replaced_either_side_may_have_both():
    assert verify(headers(OLD, NEW), BODY, [OLD], now_s=1_000)
    assert verify(headers(OLD), BODY, [NEW, OLD], now_s=1_000)


@pytest.mark.parametrize(
    ("changes", "body", "now_s", "message"),
    [
        ({}, BODY + b" ", 1_000, "no signature"),
        ({"webhook-id": "t/0/8"}, BODY, 1_000, "no signature"),
        ({"webhook-timestamp": "1001"}, BODY, 1_000, "no signature"),
        ({"webhook-timestamp": "soon"}, BODY, 1_000, "lacks a sound header"),
        ({"webhook-signature": "v1,"}, BODY, 1_000, "no signature"),
        ({"webhook-signature": "v2,\u00e4"}, BODY, 1_000, "no signature"),
        ({}, BODY, 1_301, "was sent 301 s ago"),
        ({}, BODY, 699, "was sent -301 s ago"),
    ],
)
def test_what_was_changed_or_is_old_is_refused(changes, body, now_s, message):
    with pytest.raises(SignatureError, match=message):
        verify({**headers(NEW), **changes}, body, [NEW], now_s=now_s)


def test_a_missing_header_is_named():
    with pytest.raises(SignatureError, match="webhook-signature"):
        verify({"webhook-id": "a", "webhook-timestamp": "1000"}, BODY, [NEW], now_s=1_000)
