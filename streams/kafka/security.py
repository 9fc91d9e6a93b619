"""A worker's credentials, for the one of its two Kafka clients that does not take librdkafka's settings."""

import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from faust.auth import Credentials, SASLCredentials, SSLCredentials

from streams.kafka.errors import BulkAppError

__all__ = ["credentials"]

_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_KNOWN = {
    "security.protocol",
    "sasl.mechanism",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.key.location",
    "ssl.key.pem",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
}


def credentials(security: Mapping[str, str]) -> Credentials | None:
    """Return what Faust connects with, from librdkafka's settings; None where there is nothing to show.

    A setting that could not be honoured is refused: nobody shall believe in a safety that is not there.

    >>> credentials({"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "ada"})
    <SASLCredentials: username=ada>
    """
    if unknown := sorted(name for name in security.keys() - _KNOWN if name.startswith(("security.", "sasl.", "ssl."))):
        raise BulkAppError(f"workers cannot honour {', '.join(unknown)}", hint=f"they know {', '.join(sorted(_KNOWN))}")
    protocol = security.get("security.protocol", "PLAINTEXT").upper()
    context = _context(security) if protocol.endswith("SSL") else None
    if protocol.startswith("SASL"):
        mechanism = security.get("sasl.mechanism", "")
        if mechanism not in _MECHANISMS:
            raise BulkAppError(f"sasl.mechanism is {mechanism!r}, workers know {', '.join(_MECHANISMS)}")
        username, password = security.get("sasl.username"), security.get("sasl.password")
        return SASLCredentials(username=username, password=password, ssl_context=context, mechanism=mechanism)
    return None if context is None else SSLCredentials(context)


def _context(security: Mapping[str, str]) -> ssl.SSLContext:
    authority = security.get("ssl.ca.location")
    path = None if authority is None else Path(authority).expanduser()
    try:
        context = ssl.create_default_context(
            cafile=path if path is not None and not path.is_dir() else None,
            capath=path if path is not None and path.is_dir() else None,
            cadata=security.get("ssl.ca.pem"),
        )
        context.check_hostname = security.get("ssl.endpoint.identification.algorithm", "https") != "none"
        with _file(security, "ssl.certificate") as certificate, _file(security, "ssl.key") as key:
            if certificate is not None:
                context.load_cert_chain(certificate, key, password=security.get("ssl.key.password", ""))
    except (OSError, ssl.SSLError) as error:
        raise BulkAppError(f"the certificates or the key of ssl.* cannot be used: {error}") from None
    return context


@contextmanager
def _file(security: Mapping[str, str], name: str) -> Iterator[Path | None]:
    """The file that holds a certificate or key; Python reads them from files only."""
    if text := security.get(f"{name}.pem"):
        # Nobody else may read it, and it is gone when it has been read.
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(text)
            file.flush()
            yield Path(file.name)
    else:
        location = security.get(f"{name}.location")
        yield None if location is None else Path(location).expanduser()
