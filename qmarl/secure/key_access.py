"""What a configuration says of keys: how large they are, and where a key service is.

These sections stand apart from what stores and fetches keys, so that reading a configuration loads
none of that.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from qmarl.config import Section

if TYPE_CHECKING:
    from qmarl.secure.key_client import KeyClient


class KeyLimits(Section):
    """Sizes of keys, in bits, and how many there may be."""

    key_size: Annotated[int, Field(ge=8, multiple_of=8)] = 256
    """Size of a key where the request does not say."""
    min_key_size: Annotated[int, Field(ge=8, multiple_of=8)] = 64
    """Smallest key that is given out."""
    max_key_size: Annotated[int, Field(ge=8, multiple_of=8)] = 4_194_304
    """Largest key that is given out."""
    max_key_per_request: Annotated[int, Field(ge=1)] = 128
    """Keys in one request at most."""
    max_key_count: Annotated[int, Field(ge=1)] = 100_000
    """Keys of ``key_size`` that are stored for a pair at most; what comes beyond is thrown away."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.min_key_size <= self.key_size <= self.max_key_size:
            raise ValueError("key_size: must be from min_key_size to max_key_size")
        return self


class ServiceAccess(Section):
    """How a key service is reached, such as one that ``qmarl keys serve`` runs."""

    address: str = "127.0.0.1"
    """Host name or address, as the service's certificate says it."""
    port: int = Field(8443, ge=1, le=65535)
    """TCP port."""
    authority: Path
    """Certificate of who vouches for the service, PEM."""
    credentials: Path
    """Directory with ``NAME.pem`` and ``NAME.key`` of every client, and of ``server``."""
    timeout_s: float = Field(10.0, gt=0)
    """Time to wait for an answer, s."""

    def client(self, name: str) -> KeyClient:
        """Returns the way of one application to the service.

        Raises:
            ConfigurationError: Its credentials cannot be used.
        """
        from qmarl.secure.key_client import KeyClient
        from qmarl.secure.key_service import TlsFiles

        certificate, key = (self.credentials / f"{name}.{end}" for end in ("pem", "key"))
        files = TlsFiles(self.authority, certificate, key)
        return KeyClient(self.address, self.port, files, self.timeout_s)
