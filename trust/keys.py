"""Making and loading signing keys: a file, an environment secret, or a PKCS#11 token.

There is no default key and no built-in one: without a source there is an error.
"""

from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import CryptoSigner, HSMSigner, Key, Signer

from trust.errors import KeyFileError
from trust.private_file import read_private, write_private

__all__ = ["PIN_VARIABLE", "Key", "Signer", "load_signer", "make_key"]

PIN_VARIABLE = "DRIFTLINE_HSM_PIN"


def make_key(path: Path) -> Key:
    """Write a new Ed25519 private key (PEM, PKCS#8), readable by its owner alone; return its public half.

    An existing file is never overwritten.
    """
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_private(path, pem)
    return CryptoSigner(private).public_key


def load_signer(source: str, *, environ: Mapping[str, str]) -> Signer:
    """Return the signer that `source` names.

    `file:PATH` is a PEM file that only its owner can read, `env:NAME` a variable that holds the PEM itself, and
    `hsm:ID?label=TOKEN` an ECDSA key on a PKCS#11 token (`PYKCS11LIB` names the module, `DRIFTLINE_HSM_PIN` the PIN).
    """
    scheme, _, rest = source.partition(":")
    match scheme:
        case "file" if rest:
            content = read_private(Path(rest), if_missing=f"`driftline keys make {rest}` makes a key")
            return _signer_of(content, where=rest)
        case "env" if rest:
            pem = environ.get(rest)
            if not pem:
                raise KeyFileError(f"environment variable {rest} is not set; wanted a private key in PEM")
            return _signer_of(pem.encode(), where=f"environment variable {rest}")
        case "hsm":
            return _token_signer(source, environ)
    raise KeyFileError(f"unknown key source {source!r}; known: file:PATH, env:NAME, hsm:ID?label=TOKEN")


def _signer_of(pem: bytes, *, where: str) -> Signer:
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # The library's text is left out: nothing of the secret can slip into a log with it.
        raise KeyFileError(f"{where} holds no usable private key; wanted Ed25519, PEM, not encrypted") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyFileError(f"{where} holds {type(private).__name__}; wanted an Ed25519 private key")
    return CryptoSigner(private)


def _token_signer(source: str, environ: Mapping[str, str]) -> Signer:
    pin = environ.get(PIN_VARIABLE)
    if not pin:
        raise KeyFileError(f"{PIN_VARIABLE} is not set; wanted the token's PIN")
    identifier, _, query = source.removeprefix("hsm:").partition("?label=")
    if not identifier.isdigit():
        raise KeyFileError(f"{source!r} names no key; wanted hsm:ID?label=TOKEN with a number as ID")
    try:
        uri, public = HSMSigner.import_(int(identifier), query or None, lambda _what: pin)
        return HSMSigner.from_priv_key_uri(uri, public, lambda _what: pin)
    except (ValueError, UnsupportedLibraryError) as error:
        raise KeyFileError(
            f"{source}: {error}", hint="PYKCS11LIB names the module; `driftline[hsm]` brings the library"
        ) from error
