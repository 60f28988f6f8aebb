"""Where secrets wait: encrypted, in memory or in a directory, and gone once they are taken."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from qmarl.errors import ConfigurationError, RunError
from qmarl.secure.cipher import KEY_BYTES, decrypt, encrypt, wipe

_NONCE_BYTES = 12


class KeyStore:
    """Named secrets under AES-256-GCM; the name is bound to its secret.

    Whoever takes a secret gets the only copy: it is deleted from the directory, and that is on the
    disk, before it is handed out. A crash in between loses a key, and never gives one out twice.

    Args:
        store_key: 32 secret bytes, which it keeps and overwrites when it is closed.
        directory: Where the secrets lie, one file each; without one they are in memory alone.

    Raises:
        ConfigurationError: The store key has another length.
        RunError: The directory cannot be used, or a file in it is not one of this store's.
    """

    def __init__(self, store_key: bytearray, directory: Path | None = None) -> None:
        if len(store_key) != KEY_BYTES:
            raise ConfigurationError(
                f"a store key has {KEY_BYTES} bytes, this one has {len(store_key)}"
            )
        self._key, self._directory = store_key, directory
        self._sealed: dict[str, bytes] = {}
        if directory is not None:
            self._sealed = dict(self._found(directory))

    def put(self, name: str, secret: bytearray) -> None:
        """Keeps a secret and overwrites ``secret`` itself.

        Raises:
            RunError: The name is taken, or the directory cannot be written.
        """
        if name in self._sealed:
            raise RunError(f"the key store has '{name}' already; no identifier is used twice")
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + encrypt(self._key, nonce, bytes(secret), name.encode())
        if self._directory is not None:
            self._write(self._directory, name, sealed)
        self._sealed[name] = sealed
        wipe(secret)

    def take(self, name: str) -> bytearray:
        """Hands out a secret and forgets it.

        Raises:
            RunError: There is none of that name, or it was changed on the disk.
        """
        if name not in self._sealed:
            raise RunError(f"the key store has no '{name}'")
        sealed = self._sealed.pop(name)
        if self._directory is not None:
            self._remove(self._directory, name)
        return self._opened(name, sealed)

    def names(self) -> list[str]:
        """Returns the names of all secrets, sorted."""
        return sorted(self._sealed)

    def length(self, name: str) -> int:
        """Returns the bytes of a secret without opening it."""
        return len(self._sealed[name]) - _NONCE_BYTES - 16

    def close(self) -> None:
        """Overwrites the store key; what lies in the directory stays there, unreadable."""
        wipe(self._key)
        self._sealed.clear()

    def __repr__(self) -> str:
        return f"KeyStore({len(self._sealed)} secrets)"

    def _opened(self, name: str, sealed: bytes) -> bytearray:
        nonce, hidden = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        secret = decrypt(self._key, nonce, hidden, name.encode())
        if secret is None:
            raise RunError(f"'{name}' cannot be read from the key store: it was changed there")
        return bytearray(secret)

    def _found(self, directory: Path) -> Iterator[tuple[str, bytes]]:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in sorted(directory.glob("*.key")):
                raw = path.read_bytes()
                length = int.from_bytes(raw[:2], "big")
                name, sealed = raw[2 : 2 + length].decode(), raw[2 + length :]
                wipe(self._opened(name, sealed))
                yield name, sealed
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"the key store in '{directory}' cannot be read: {error}") from None

    @staticmethod
    def _write(directory: Path, name: str, sealed: bytes) -> None:
        path, raw = _path(directory, name), name.encode()
        fresh = path.with_suffix(".new")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            with os.fdopen(os.open(fresh, flags, 0o600), "wb") as file:
                file.write(len(raw).to_bytes(2, "big") + raw + sealed)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError as error:
            raise RunError(f"the key store in '{directory}' cannot be written: {error}") from None

    @staticmethod
    def _remove(directory: Path, name: str) -> None:
        try:
            _path(directory, name).unlink()
            handle = os.open(directory, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
        except OSError as error:
            raise RunError(
                f"a key cannot be deleted from '{directory}', so it is not given out: {error}"
            ) from None


def _path(directory: Path, name: str) -> Path:
    return directory / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.key"
