"""Who a device is: what its certificate says, and nothing else."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from streams.bridge.errors import IdentityError

__all__ = ["DEVICE_URN", "device_of"]

DEVICE_URN = "urn:driftline:device:"
_LONGEST = 200


def device_of(certificate: Mapping[str, Any] | None) -> str:
    """Return the device that a verified certificate, as `ssl.SSLSocket.getpeercert` gives it, was made out to.

    A URI among the alternative names says it in full (`urn:driftline:device:press%207`); without one the common
    name does, which has room for 64 characters.

    >>> device_of({"subject": ((("commonName", "press-7"),),)})
    'press-7'
    """
    if not certificate:
        raise IdentityError("the connection has no client certificate", hint="gateway.uplink.certificate names one")
    uris = [str(value) for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]
    named = [unquote(uri[len(DEVICE_URN) :]) for uri in uris if uri.startswith(DEVICE_URN)]
    if not named:
        fields = [field for part in certificate.get("subject", ()) for field in part]
        named = [str(value) for name, value in fields if name == "commonName"]
    if len(named) != 1:
        raise IdentityError(f"the certificate names {len(named)} devices; wanted: one, {DEVICE_URN}ID or a common name")
    if not named[0] or len(named[0]) > _LONGEST or "/" in named[0]:
        raise IdentityError(f"the certificate names {named[0]!r}; wanted: 1 to {_LONGEST} characters, no slash")
    return named[0]
