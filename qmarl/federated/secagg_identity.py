"""Who a client is: a long-lived key that signs what it sends, known to all beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from qmarl.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

Scheme = Literal["ml-dsa-65", "ed25519"]
"""``ml-dsa-65`` (FIPS 204) stands against quantum computers; ``ed25519`` (RFC 8032) is short."""

_TAGS: dict[Scheme, bytes] = {"ml-dsa-65": b"M", "ed25519": b"E"}


@dataclass(frozen=True)
class Identity:
    """A client's signing key.

    Attributes:
        public: What the others have to know: one byte for the scheme, then the public key.
        private: Signs; stays with the client.
    """

    public: bytes
    private: MLDSA65PrivateKey | Ed25519PrivateKey

    def sign(self, statement: bytes) -> bytes:
        """Returns this client's signature under ``statement``."""
        return self.private.sign(statement)


def new_identity(scheme: Scheme = "ml-dsa-65", seed: bytes | None = None) -> Identity:
    """Makes an identity, from the system's entropy or from a secret of 32 bytes.

    Raises:
        ConfigurationError: The installed ``cryptography`` does not know the scheme.
    """
    key: Any = _private(scheme, seed)
    return Identity(_TAGS[scheme] + key.public_key().public_bytes_raw(), key)


def is_signed(public: bytes, signature: bytes, statement: bytes) -> bool:
    """Says whether ``signature`` under ``statement`` is of the identity ``public``."""
    from cryptography.exceptions import InvalidSignature

    try:
        _public(public).verify(signature, statement)
    except (InvalidSignature, ValueError):
        return False
    return True


def _private(scheme: Scheme, seed: bytes | None) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if scheme == "ed25519":
        if seed is None:
            return Ed25519PrivateKey.generate()
        return Ed25519PrivateKey.from_private_bytes(seed)
    kind = _mldsa().MLDSA65PrivateKey
    return kind.generate() if seed is None else kind.from_seed_bytes(seed)


def _public(public: bytes) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if public[:1] == _TAGS["ed25519"]:
        return Ed25519PublicKey.from_public_bytes(public[1:])
    if public[:1] == _TAGS["ml-dsa-65"]:
        return _mldsa().MLDSA65PublicKey.from_public_bytes(public[1:])
    raise ValueError("unknown kind of identity")


def _mldsa() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import mldsa
    except ImportError as error:
        raise ConfigurationError(
            "federation.secagg.signatures: 'ml-dsa-65' needs a newer 'cryptography' than the one"
            " installed; upgrade it, or use 'ed25519'"
        ) from error
    return mldsa
