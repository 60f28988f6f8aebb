"""The messages of secure aggregation: signed by clients, bound to one round, believed by nobody."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import msgpack  # type: ignore[import-untyped] # it has no stubs

from qmarl.federated.masking import KEY_BYTES, statement
from qmarl.federated.messages import seal
from qmarl.federated.secagg import MOST_CLIENTS, SecureAggregationError, SecureSession
from qmarl.federated.secagg_identity import Identity, is_signed

Kind = Literal[
    "advert",  # client: its public keys of this round
    "roster",  # server: all adverts
    "shares",  # client: what it deals to the others, encrypted
    "deliveries",  # server: what the others dealt to this client
    "masked",  # client: its vector
    "survivors",  # server: who is in the sum
    "confirm",  # client: signs who is in the sum
    "confirmations",  # server: all signatures
    "reveal",  # client: one share of each
]

_HEADER = len(seal(b""))
_PER_CLIENT = 8192  # an advert under ML-DSA-65 has less than 4096 bytes


@dataclass(frozen=True)
class Signed:
    """A message that was read.

    Attributes:
        client: Who sent it, or whom the server means it for.
        body: Named pieces of bytes.
        raw: The message as it came, to be passed on.
    """

    client: str
    body: dict[str, bytes]
    raw: bytes


def pack(
    kind: Kind,
    session: SecureSession,
    client: str,
    body: Mapping[str, bytes],
    identity: Identity | None = None,
) -> bytes:
    """Returns a message of ``client``, signed, or of the server to it, which signs nothing."""
    content: bytes = msgpack.packb(
        {
            "kind": kind,
            "round": session.round,
            "context": session.context,
            "client": client,
            "body": dict(body),
        }
    )
    signature = identity.sign(_signed(content)) if identity else b""
    return seal(msgpack.packb({"content": content, "signature": signature}))


def unpack(payload: bytes, kind: Kind, session: SecureSession, sender: str | None) -> Signed:
    """Reads a message of this round.

    Args:
        payload: What :func:`pack` gave, or whatever a stranger sent instead.
        kind: What is expected.
        session: The round.
        sender: The client that must have signed it; ``None`` for a message of the server.

    Raises:
        SecureAggregationError: It is damaged, forged, or of another kind, round or session.
    """
    try:
        outer = _opened(payload, limit(session))
        content, signature = (_bytes(outer, key) for key in ("content", "signature"))
        inner = _map(content, {"kind", "round", "context", "client", "body"})
        client, body = _checked(inner, kind, session)
        if sender is not None and client != sender:
            raise ValueError(f"sent in the name of {client!r}")
        if sender is not None and not is_signed(
            session.identities[sender], signature, _signed(content)
        ):
            raise ValueError("its signature is not that of the client")
    except ValueError as error:
        raise SecureAggregationError(f"{kind} refused: {error}"[:400], sender or "") from error
    return Signed(client, body, payload)


def limit(session: SecureSession) -> int:
    """Returns the size in bytes of the largest message that is read in this round."""
    return 2**16 + 8 * session.size + _PER_CLIENT * len(session.clients)


def members(body: Mapping[str, bytes], allowed: Collection[str]) -> tuple[str, ...]:
    """Returns the clients that a message names, sorted.

    Raises:
        ValueError: It names somebody who does not take part.
    """
    strangers = sorted(set(body) - set(allowed))
    if strangers:
        raise ValueError(f"{strangers[0]!r} does not take part")
    return tuple(sorted(body))


def _signed(content: bytes) -> bytes:
    return statement("qmarl secure aggregation message", content)


def _opened(payload: bytes, limit_bytes: int) -> dict[str, Any]:
    if not isinstance(payload, bytes):
        raise ValueError(f"a message must be bytes, got {type(payload).__name__}")
    if len(payload) > limit_bytes:
        raise ValueError(f"{len(payload)} bytes, at most {limit_bytes} are read")
    if len(payload) < _HEADER or seal(payload[_HEADER:]) != payload:
        raise ValueError("it is damaged, or no message of this version")
    return _map(payload[_HEADER:], {"content", "signature"})


def _map(packed: bytes, fields: set[str]) -> dict[str, Any]:
    # Lists never travel, and maps are preallocated at their declared length: hence the low caps.
    try:
        found = msgpack.unpackb(packed, max_array_len=0, max_map_len=MOST_CLIENTS, max_ext_len=0)
    except (ValueError, msgpack.UnpackException) as error:
        raise ValueError(f"not readable msgpack ({type(error).__name__})") from error
    if not isinstance(found, dict) or set(found) != fields:
        raise ValueError(f"it must be a map of {sorted(fields)}")
    return found


def _bytes(found: dict[str, Any], key: str) -> bytes:
    if not isinstance(found[key], bytes):
        raise ValueError(f"{key} must be bytes")
    return bytes(found[key])


def _checked(
    inner: dict[str, Any], kind: Kind, session: SecureSession
) -> tuple[str, dict[str, bytes]]:
    if inner["kind"] not in get_args(Kind) or inner["kind"] != kind:
        raise ValueError(f"it is {str(inner['kind'])[:40]!r}")
    if inner["round"] != session.round or isinstance(inner["round"], bool):
        raise ValueError(f"it is of round {inner['round']!r}, this is round {session.round}")
    if _bytes(inner, "context") != session.context:
        raise ValueError("it is of another session, or of other settings")
    client, body = inner["client"], inner["body"]
    if not isinstance(client, str) or client not in session.identities:
        raise ValueError(f"unknown client {client!r}")
    if not isinstance(body, dict) or not all(
        isinstance(name, str) and isinstance(piece, bytes) for name, piece in body.items()
    ):
        raise ValueError("its body must be a map of names to bytes")
    return client, body


def key_of(body: Mapping[str, bytes], name: str) -> bytes:
    """Returns one 256-bit piece of a message.

    Raises:
        ValueError: There is none of that name and length.
    """
    piece = body.get(name, b"")
    if len(piece) != KEY_BYTES:
        raise ValueError(f"{name!r} must have {KEY_BYTES} bytes, got {len(piece)}")
    return piece
