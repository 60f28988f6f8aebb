"""Post-quantum keys and signatures, and how they join a quantum key so that either is enough."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import Any, Literal, final, get_args

from qmarl.errors import ConfigurationError, RunError

Kem = Literal["ml-kem-768", "ml-kem-1024", "x25519-ml-kem-768", "x25519-ml-kem-1024"]
"""Ways to agree on a secret: ML-KEM (FIPS 203) alone, or together with X25519.

``x25519-ml-kem-768`` is X-Wing (Barbosa et al. 2024, draft-connolly-cfrg-xwing-kem); the one with
1024 is built in the same way under a label of its own.
"""

SECRET_BYTES = 32
"""Length of every shared secret."""
SEED_BYTES = 32
"""Length of the secret that an own key or signature follows from."""
SIGNATURE_BYTES = 3309
"""Length of a signature of ML-DSA-65."""

_LABELS = {768: b"\\.//^\\", 1024: b"qmarl-x25519-ml-kem-1024"}
_CIPHERTEXT = {768: 1088, 1024: 1568}
_PUBLIC = {768: 1184, 1024: 1568}
_CURVE = 32  # bytes of a point on the curve


@dataclass(frozen=True)
class Encapsulated:
    """A secret, and what tells it to the owner of a key.

    Attributes:
        secret: 32 bytes.
        ciphertext: Public; the owner's :meth:`KemKey.open` makes the secret of it.
    """

    secret: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)


@final
@dataclass(frozen=True)
class KemKey:
    """Someone's key, to which others can encapsulate secrets.

    Attributes:
        kind: Which way.
        seed: Secret bytes that everything follows from: 32, or 64 for ML-KEM alone (FIPS 203).
    """

    kind: Kem
    seed: bytes = field(repr=False)

    @property
    def public(self) -> bytes:
        """What others need to encapsulate."""
        lattice, curve = self._private()
        own: bytes = lattice.public_key().public_bytes_raw()
        return own + curve.public_key().public_bytes_raw() if curve else own

    def open(self, ciphertext: bytes) -> bytes:
        """Returns the secret in a ciphertext.

        An altered ciphertext gives another secret and no error (implicit rejection, FIPS 203), so
        whatever is sealed with the secret has to be authenticated.

        Raises:
            RunError: The ciphertext has a wrong length, or its point gives everybody one secret.
        """
        size = _size(self.kind)
        expected = _CIPHERTEXT[size] + (_CURVE if _hybrid(self.kind) else 0)
        _check(self.kind, "ciphertext", ciphertext, expected)
        lattice, curve = self._private()
        secret: bytes = lattice.decapsulate(ciphertext[: _CIPHERTEXT[size]])
        if not curve:
            return secret
        point = ciphertext[_CIPHERTEXT[size] :]
        own = curve.public_key().public_bytes_raw()
        return _joined(size, secret, _exchanged(curve, point), point, own)

    def _private(self) -> tuple[Any, Any]:
        """Returns the private keys of ML-KEM and, if there is one, of X25519."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        lattice, _ = _lattice(_size(self.kind))
        if not _hybrid(self.kind):
            return lattice.from_seed_bytes(self.seed), None
        wide = hashlib.shake_256(self.seed).digest(96)
        return lattice.from_seed_bytes(wide[:64]), X25519PrivateKey.from_private_bytes(wide[64:])


def new_kem_key(kind: Kem = "x25519-ml-kem-768", seed: bytes | None = None) -> KemKey:
    """Makes a key, from the system's entropy or from a secret seed.

    Args:
        kind: Which way.
        seed: 32 bytes for the hybrid kinds, 64 for ML-KEM alone.

    Raises:
        ConfigurationError: There is no such kind, or the seed has a wrong length.
    """
    if kind not in get_args(Kem):
        raise ConfigurationError(f"kem: '{kind}' is unknown; there are {', '.join(get_args(Kem))}")
    length = SEED_BYTES if _hybrid(kind) else 2 * SEED_BYTES
    if seed is not None and len(seed) != length:
        raise ConfigurationError(f"{kind}: a seed has {length} bytes, not {len(seed)}")
    return KemKey(kind, os.urandom(length) if seed is None else seed)


def encapsulate(kind: Kem, public: bytes) -> Encapsulated:
    """Makes a secret that only the owner of a public key can open.

    Raises:
        RunError: The public key is malformed.
    """
    size = _size(kind)
    _check(kind, "public key", public, _PUBLIC[size] + (_CURVE if _hybrid(kind) else 0))
    try:
        known = _lattice(size)[1].from_public_bytes(public[: _PUBLIC[size]])
    except ValueError:
        raise RunError(f"{kind}: the public key is malformed") from None
    secret, ciphertext = known.encapsulate()
    if not _hybrid(kind):
        return Encapsulated(secret, ciphertext)
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    once, owner = X25519PrivateKey.generate(), public[_PUBLIC[size] :]
    point = once.public_key().public_bytes_raw()
    joined = _joined(size, secret, _exchanged(once, owner), point, owner)
    return Encapsulated(joined, ciphertext + point)


@final
@dataclass(frozen=True)
class SigningKey:
    """Someone's key of ML-DSA-65 (FIPS 204), by which others know who speaks.

    Attributes:
        seed: 32 secret bytes that the key follows from.
    """

    seed: bytes = field(repr=False)

    @property
    def public(self) -> bytes:
        """What others have to know beforehand, 1952 bytes."""
        found: bytes = self._private().public_key().public_bytes_raw()
        return found

    def sign(self, message: bytes, context: bytes = b"") -> bytes:
        """Returns the signature under a message; ``context`` (at most 255 bytes) is bound to it."""
        found: bytes = self._private().sign(message, context)
        return found

    def _private(self) -> Any:
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

        return MLDSA65PrivateKey.from_seed_bytes(self.seed)


def new_signing_key(seed: bytes | None = None) -> SigningKey:
    """Makes a signing key, from the system's entropy or from 32 secret bytes.

    Raises:
        ConfigurationError: The seed has a wrong length.
    """
    if seed is not None and len(seed) != SEED_BYTES:
        raise ConfigurationError(f"ml-dsa-65: a seed has {SEED_BYTES} bytes, not {len(seed)}")
    return SigningKey(os.urandom(SEED_BYTES) if seed is None else seed)


def is_signed(public: bytes, message: bytes, signature: bytes, context: bytes = b"") -> bool:
    """Says whether ``signature`` is of the owner of ``public``; a malformed one is not."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey

    try:
        MLDSA65PublicKey.from_public_bytes(public).verify(signature, message, context)
    except (InvalidSignature, ValueError):
        return False
    return True


def combine(quantum_key: bytes, secret: bytes, context: bytes) -> bytes:
    """Returns the key that follows from a quantum key and a post-quantum secret together.

    HKDF-SHA256 (RFC 5869) over both, each behind its length, so that no two different pairs give
    equal bytes. Whoever lacks one of the two knows nothing of the key: either alone suffices. One
    of them may be empty, where that side gave none.

    Args:
        quantum_key: Key of a quantum link.
        secret: Secret of :func:`encapsulate`.
        context: What the key is for; both ends have to say the same.

    Returns:
        32 bytes.

    Raises:
        RunError: Either of them is shorter than 32 bytes without being empty, or both are empty.
    """
    if not quantum_key and not secret:
        raise RunError("a key cannot be made of nothing: no quantum key and no secret is there")
    for name, part in (("quantum key", quantum_key), ("post-quantum secret", secret)):
        if 0 < len(part) < SECRET_BYTES:
            raise RunError(f"the {name} has {len(part)} bytes; {SECRET_BYTES} is the least")
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    joined = b"".join(len(part).to_bytes(4, "big") + part for part in (quantum_key, secret))
    return HKDF(SHA256(), SECRET_BYTES, b"qmarl combined key", context).derive(joined)


def _size(kind: Kem) -> int:
    return 1024 if kind.endswith("1024") else 768


def _hybrid(kind: Kem) -> bool:
    return kind.startswith("x25519")


def _lattice(size: int) -> tuple[Any, Any]:
    """Returns ML-KEM's private and public classes."""
    from cryptography.hazmat.primitives.asymmetric import mlkem

    if size == 1024:
        return mlkem.MLKEM1024PrivateKey, mlkem.MLKEM1024PublicKey
    return mlkem.MLKEM768PrivateKey, mlkem.MLKEM768PublicKey


def _check(kind: Kem, name: str, found: bytes, length: int) -> None:
    if len(found) != length:
        raise RunError(f"{kind}: a {name} has {length} bytes, not {len(found)}")


def _exchanged(own: Any, point: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    try:
        found: bytes = own.exchange(X25519PublicKey.from_public_bytes(point))
    except ValueError:
        raise RunError("x25519: the other end's point gives everybody the same secret") from None
    return found


def _joined(size: int, lattice: bytes, curve: bytes, point: bytes, owner: bytes) -> bytes:
    """X-Wing's combiner: ML-KEM binds its own ciphertext and key, the curve does not."""
    return hashlib.sha3_256(lattice + curve + point + owner + _LABELS[size]).digest()
