"""A small certificate authority for tests: one for servers, one for devices, a stranger's, whatever is asked for."""

import datetime
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

NOW = datetime.datetime.now(datetime.UTC)


class Paper(NamedTuple):
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


class Authority:
    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = _named(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        made = self._begun(self._name, self._key).add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        self._certificate = made.sign(self._key, hashes.SHA256())
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._certificate.public_bytes(Encoding.PEM))

    def server(self, name: str = "server") -> Paper:
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        return self._issue(name, name, names)

    def device(self, device_id: str, *, uri: str = "", common_name: str | None = None) -> Paper:
        names = [x509.UniformResourceIdentifier(uri)] if uri else []
        return self._issue(device_id.replace("/", "_"), device_id if common_name is None else common_name, names)

    def revoke(self, paper: Paper) -> Path:
        """Write a list of what was taken back, which now names this certificate."""
        gone = x509.load_pem_x509_certificate(paper.certificate.read_bytes())
        entry = x509.RevokedCertificateBuilder().serial_number(gone.serial_number).revocation_date(NOW).build()
        listed = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(NOW - datetime.timedelta(minutes=1))
            .next_update(NOW + datetime.timedelta(days=1))
            .add_revoked_certificate(entry)
            .sign(self._key, hashes.SHA256())
        )
        path = self._folder / "revoked.pem"
        path.write_bytes(listed.public_bytes(Encoding.PEM))
        return path

    def _issue(self, file: str, common_name: str, names: list[x509.GeneralName]) -> Paper:
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._begun(_named(common_name) if common_name else x509.Name([]), key)
        if names:
            made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        paper = Paper(self._folder / f"{file}.crt", self._folder / f"{file}.key")
        paper.certificate.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        paper.key.write_bytes(pem)
        return paper

    def _begun(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - datetime.timedelta(days=1))
            .not_valid_after(NOW + datetime.timedelta(days=1))
        )


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
