"""Certificates for the two ends of TLS: a small authority, and who it vouches for."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qmarl.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass(frozen=True)
class Credential:
    """A certificate and its private key, both in PEM.

    Attributes:
        name: Common name of whom it is about.
        certificate: Public.
        key: Secret.
    """

    name: str
    certificate: bytes
    key: bytes = field(repr=False)

    def write(self, directory: Path) -> tuple[Path, Path]:
        """Writes ``<name>.pem`` and ``<name>.key``, the key for its owner's eyes alone.

        Returns:
            The paths of certificate and key.
        """
        directory.mkdir(parents=True, exist_ok=True)
        certificate, key = directory / f"{self.name}.pem", directory / f"{self.name}.key"
        certificate.write_bytes(self.certificate)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with os.fdopen(os.open(key, flags, 0o600), "wb") as file:
            file.write(self.key)
        return certificate, key


class Authority:
    """Signs certificates with Ed25519 (RFC 8410), so that equal names give equal lengths.

    Args:
        name: Its common name.
        days: How long it and what it signs are valid.
        start: From when on; now where left out.
    """

    def __init__(
        self, name: str = "qmarl", days: float = 30, start: datetime | None = None
    ) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self.name = name
        self._start = start or datetime.now(UTC) - timedelta(minutes=5)
        self._end = self._start + timedelta(days=days)
        self._key = Ed25519PrivateKey.generate()
        self.certificate = self._signed(name, self._key, hosts=(), authority=True)

    def issue(self, name: str, hosts: Sequence[str] = ()) -> Credential:
        """Vouches for a name.

        Args:
            name: Common name, the identity of an application or of a client; 64 letters at most.
            hosts: Names and addresses under which a server is reached.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        key = Ed25519PrivateKey.generate()
        return Credential(name, self._signed(name, key, hosts, authority=False), _pem(key))

    def _signed(
        self, name: str, key: Ed25519PrivateKey, hosts: Sequence[str], authority: bool
    ) -> bytes:
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding

        builder = (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(_named(self.name))
            .public_key(key.public_key())
            .serial_number(_serial())
            .not_valid_before(self._start)
            .not_valid_after(self._end)
            .add_extension(x509.BasicConstraints(authority, 0 if authority else None), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(_issuer_identifier(self._key), False)
            .add_extension(_usage(authority), True)
        )
        if hosts:
            names = [_alternative(host) for host in hosts]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        return builder.sign(self._key, None).public_bytes(Encoding.PEM)


def common_name(peer: Any) -> str:
    """Returns the common name in what ``getpeercert`` gives; empty without exactly one."""
    names = [
        value
        for part in (peer or {}).get("subject", ())
        for field_name, value in part
        if field_name == "commonName"
    ]
    return names[0] if len(names) == 1 else ""


def check_files(certificate: Path, key: Path, authority: Path) -> None:
    """Looks whether files hold what TLS needs, before anything is started.

    Raises:
        ConfigurationError: With the file and what is wrong; nothing of a key is shown.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    held = x509.load_pem_x509_certificate
    for path, read in ((authority, held), (certificate, held)):
        try:
            found = read(path.read_bytes())
        except OSError as error:
            raise ConfigurationError(f"'{path}' cannot be read: {error.strerror}") from None
        except ValueError:
            raise ConfigurationError(f"'{path}' is not a certificate in PEM") from None
        if not found.not_valid_before_utc <= datetime.now(UTC) <= found.not_valid_after_utc:
            raise ConfigurationError(
                f"'{path}' is valid from {found.not_valid_before_utc:%Y-%m-%d %H:%M} to "
                f"{found.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; it is "
                f"{datetime.now(UTC):%Y-%m-%d %H:%M} now: renew it, or set the clock"
            )
    try:
        secret = load_pem_private_key(key.read_bytes(), None)
    except OSError as error:
        raise ConfigurationError(f"'{key}' cannot be read: {error.strerror}") from None
    except (ValueError, TypeError):
        raise ConfigurationError(f"'{key}' is not an unencrypted private key in PEM") from None
    if secret.public_key() != found.public_key():
        raise ConfigurationError(f"'{key}' is not the key of '{certificate}'")


def _serial() -> int:
    """A random serial number whose highest bits are set, so that all are equally long."""
    return int.from_bytes(os.urandom(16), "big") | 1 << 126


def _named(name: str) -> Any:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _issuer_identifier(key: Ed25519PrivateKey) -> Any:
    from cryptography import x509

    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _alternative(host: str) -> Any:
    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(authority: bool) -> Any:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: Ed25519PrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
