"""Asks a key service for keys, over mutual TLS; any service that speaks ETSI GS QKD 014 will do."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from typing import Any
from urllib.parse import quote
from uuid import UUID

from qmarl.errors import UnreachableError
from qmarl.secure.key_service import TlsFiles
from qmarl.secure.keys import Key, KeyRequestError, contained

_LARGEST_ANSWER = 2**26


class KeyClient:
    """One application's way to its key management entity.

    Args:
        address: Host name or address of the service, as its certificate says it.
        port: TCP port.
        files: The application's TLS credentials; the service reads its name there.
        timeout_s: Seconds to wait for an answer.

    Raises:
        ConfigurationError: The credentials cannot be used.
    """

    def __init__(self, address: str, port: int, files: TlsFiles, timeout_s: float = 10.0) -> None:
        self._where = (address, port)
        self._context = files.context(server=False)
        self._timeout_s = timeout_s

    def status(self, peer: str) -> dict[str, Any]:
        """Returns the status of the keys that can be shared with ``peer``.

        Raises:
            KeyRequestError: The service refuses.
            UnreachableError: It does not answer, or one end does not believe the other's
                certificate.
        """
        answer: dict[str, Any] = self._asked(peer, "status", None)
        return answer

    def enc_keys(self, peer: str, number: int = 1, size: int | None = None) -> list[Key]:
        """Takes new keys, as their master, to share with ``peer``.

        Args:
            peer: The slave.
            number: How many.
            size: Bits of each.

        Raises:
            KeyRequestError: The service refuses.
            UnreachableError: As for :meth:`status`.
        """
        wanted = {"number": number} | ({} if size is None else {"size": size})
        return contained(self._asked(peer, "enc_keys", wanted))

    def dec_keys(self, peer: str, key_IDs: Sequence[str | UUID]) -> list[Key]:  # noqa: N803 - ETSI
        """Takes keys whose master is ``peer``, once.

        Raises:
            KeyRequestError: The service refuses.
            UnreachableError: As for :meth:`status`.
        """
        wanted = {"key_IDs": [{"key_ID": str(each)} for each in key_IDs]}
        return contained(self._asked(peer, "dec_keys", wanted))

    def _asked(self, peer: str, action: str, body: Mapping[str, Any] | None) -> Any:
        connection = http.client.HTTPSConnection(
            *self._where, timeout=self._timeout_s, context=self._context
        )
        path = f"/api/v1/keys/{quote(peer, safe='')}/{action}"
        headers = {"Date": formatdate(usegmt=True), "Content-Type": "application/json"}
        raw = None if body is None else json.dumps(body)
        try:
            connection.request("GET" if body is None else "POST", path, raw, headers)
            answer = connection.getresponse()
            status, text = answer.status, answer.read(_LARGEST_ANSWER)
        except ssl.SSLError as error:
            raise UnreachableError(f"{self._named()} and this end do not agree: {error}") from None
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(f"{self._named()} does not answer: {error}") from None
        finally:
            connection.close()
        return self._read(status, text)

    def _read(self, status: int, text: bytes) -> Any:
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            raise UnreachableError(f"{self._named()} answered with something else") from None
        if status != 200:
            said = data.get("message") if isinstance(data, dict) else None
            reason = str(said or f"status {status}").removeprefix("key request refused: ")
            raise KeyRequestError(status, reason[:300])
        return data

    def _named(self) -> str:
        return "the key service at {}:{}".format(*self._where)
