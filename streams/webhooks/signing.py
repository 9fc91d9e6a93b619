"""Signatures as Standard Webhooks has them: HMAC-SHA256 over the event's id, the time of sending and the body."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from schemas.errors import DriftlineError

__all__ = ["Secret", "SignatureError", "signature_headers", "verify"]

PREFIX = "whsec_"
FEWEST_BYTES, MOST_BYTES = 24, 64


class SignatureError(DriftlineError):
    """A delivery that did not come from whoever holds the secret, or came too late."""


@dataclass(frozen=True, slots=True)
class Secret:
    """What sender and receiver share; it is in no text of itself."""

    key: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "Secret":
        """Read `whsec_` and base64 of 24 to 64 bytes."""
        wanted = f"{PREFIX} and base64 of {FEWEST_BYTES} to {MOST_BYTES} random bytes"
        if not text.startswith(PREFIX):
            raise ValueError(wanted)
        try:
            key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            raise ValueError(wanted) from None
        if not FEWEST_BYTES <= len(key) <= MOST_BYTES:
            raise ValueError(wanted)
        return cls(key)

    def sign(self, event_id: str, at_s: int, body: bytes) -> str:
        """Return one signature.

        >>> secret = Secret.parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        >>> secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
        'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
        """
        signed = hmac.new(self.key, f"{event_id}.{at_s}.".encode() + body, hashlib.sha256)
        return f"v1,{base64.b64encode(signed.digest()).decode()}"


def signature_headers(secrets: Sequence[Secret], *, event_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """Return the three headers; while a secret is being replaced, both sign."""
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(secret.sign(event_id, at_s, body) for secret in secrets),
    }


def verify(
    headers: Mapping[str, str], body: bytes, secrets: Sequence[Secret], *, now_s: float, tolerance_s: float = 300.0
) -> str:
    """Return the event's id, if one of the secrets signed the delivery and it is fresh; names are in lower case."""
    try:
        event_id, at_s = headers["webhook-id"], int(headers["webhook-timestamp"])
        given = headers["webhook-signature"].split(" ")
    except (KeyError, ValueError) as error:
        raise SignatureError(f"the delivery lacks a sound header: {error}") from None
    if abs(now_s - at_s) > tolerance_s:
        raise SignatureError(f"the delivery was sent {now_s - at_s:.0f} s ago; at most {tolerance_s:g} s are allowed")
    for secret in secrets:
        expected = secret.sign(event_id, at_s, body).encode()
        if any(hmac.compare_digest(expected, one.encode()) for one in given):
            return event_id
    raise SignatureError("no signature of the delivery was made with a known secret")
