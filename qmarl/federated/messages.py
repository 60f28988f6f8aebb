"""Envelopes to bytes and back, believing nothing that arrives."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgpack  # type: ignore[import-untyped] # it has no stubs
import numpy as np

from qmarl.errors import RunError
from qmarl.types import Array, Envelope, Layout, MessageKind, Params

VERSION = 1
"""Version of the wire format, the third byte of every message."""

DEFAULT_LIMIT = 16 * 2**20
"""Largest message that is read unless the reader says otherwise, in bytes."""

DTYPES = {"float64": "<f8", "float32": "<f4", "int64": "<i8", "uint32": "<u4", "uint8": "|u1"}
"""The kinds of numbers that may travel, with their little-endian codes."""

_NAMES = {np.dtype(code): name for name, code in DTYPES.items()}
_MAGIC = b"QM"
_DIGEST = 16
_HEADER = len(_MAGIC) + 1 + _DIGEST
_LARGEST_INT = 2**53
_LONGEST_NAME = 256
_MOST_AXES = 8
_MOST_NAMES = 4096
_FIELDS = {"kind", "round", "client", "group", "arrays", "examples", "metrics"}


class MessageError(RunError):
    """A message cannot be sent or must not be believed; the text says why."""


def encode(envelope: Envelope) -> bytes:
    """Packs ``envelope`` as ``b"QM"``, version, BLAKE2b digest (16 bytes) and a msgpack body.

    Args:
        envelope: Its arrays are of one of :data:`DTYPES` and each has a period (or ``None``).

    Returns:
        The message; equal envelopes with arrays in the same order give equal bytes.

    Raises:
        MessageError: The envelope holds something that :func:`decode` would refuse.
    """
    return encode_for([envelope.client], envelope)[envelope.client]


def encode_for(clients: Iterable[str], envelope: Envelope) -> dict[str, bytes]:
    """Packs the same envelope for many clients, as :func:`encode` would for each of them.

    What they have in common is packed and digested once: all arrays lie before the client's name.

    Args:
        clients: Whom to name in the messages, in the place of the envelope's own client.
        envelope: As for :func:`encode`.

    Raises:
        MessageError: The envelope holds something that :func:`decode` would refuse.
    """
    common = msgpack.Packer().pack_map_header(len(_FIELDS)) + _packed("arrays", _entries(envelope))
    shared = hashlib.blake2b(bytes([VERSION]), digest_size=_DIGEST)
    shared.update(common)
    messages = {}
    for client in clients:
        own = _own(replace(envelope, client=client))
        digest = shared.copy()
        digest.update(own)
        messages[client] = b"".join((_MAGIC, bytes([VERSION]), digest.digest(), common, own))
    return messages


def _entries(envelope: Envelope) -> dict[str, list[Any]]:
    """An envelope's arrays as they travel."""
    if len(envelope.arrays) > _MOST_NAMES:
        raise _refusal(f"{len(envelope.arrays)} arrays, at most {_MOST_NAMES} travel together")
    if set(envelope.arrays) != set(envelope.periods):
        raise _refusal(f"arrays {sorted(envelope.arrays)} but periods {sorted(envelope.periods)}")
    return {
        _name(name, "array name"): _pack(name, array, envelope.periods[name])
        for name, array in envelope.arrays.items()
    }


def _own(envelope: Envelope) -> bytes:
    """All but an envelope's arrays."""
    parts: dict[str, Any] = {
        "kind": _kind(envelope.kind),
        "round": _count(envelope.round, "round"),
        "client": _name(envelope.client, "client"),
        "group": _name(envelope.group, "group"),
        "examples": _count(envelope.examples, "examples"),
        "metrics": _metrics(envelope.metrics),
    }
    return b"".join(_packed(name, value) for name, value in parts.items())


def _packed(name: str, value: Any) -> bytes:
    """One entry of a map."""
    return bytes(msgpack.packb(name) + msgpack.packb(value))


def decode(payload: bytes, limit_bytes: int = DEFAULT_LIMIT) -> Envelope:
    """Reads a message, checking everything before anything is allocated for it.

    Args:
        payload: What :func:`encode` gave, or whatever a stranger sent instead.
        limit_bytes: Largest payload, and largest array, that is read.

    Returns:
        The envelope; its arrays are fresh, writable and in the machine's byte order.

    Raises:
        MessageError: The payload is not a whole, well-formed message; the text says what is wrong.
    """
    body = _unpack(_opened(payload, limit_bytes))
    if not isinstance(body, dict) or set(body) != _FIELDS:
        raise _refusal(f"the body must be a map of {sorted(_FIELDS)}")
    arrays, periods = _arrays(body["arrays"], limit_bytes)
    return Envelope(
        kind=_kind(body["kind"]),
        round=_count(body["round"], "round"),
        client=_name(body["client"], "client"),
        group=_name(body["group"], "group"),
        arrays=arrays,
        periods=periods,
        examples=_count(body["examples"], "examples"),
        metrics=_metrics(body["metrics"]),
    )


def size_limit(layout: Layout) -> int:
    """Largest message in bytes that can carry ``layout`` in float64, with room for its names."""
    return 2**16 + sum(8 * spec.size + 2 * _LONGEST_NAME for spec in layout.values())


def seal(body: bytes) -> bytes:
    """Puts magic, version and digest before ``body``; it shows damage, not forgery."""
    return b"".join((_MAGIC, bytes([VERSION]), _digest(body), body))


def _digest(body: bytes | memoryview) -> bytes:
    digest = hashlib.blake2b(bytes([VERSION]), digest_size=_DIGEST)
    digest.update(body)  # not joined with the version before: that would copy it
    return digest.digest()


def _opened(payload: bytes, limit_bytes: int) -> memoryview:
    if not isinstance(payload, bytes):
        raise _refusal(f"a message must be bytes, got {type(payload).__name__}")
    if len(payload) > limit_bytes:
        raise _refusal(f"{len(payload)} bytes, at most {limit_bytes} are read")
    if len(payload) < _HEADER or not payload.startswith(_MAGIC):
        raise _refusal("it does not begin as a message of this project")
    if payload[2] != VERSION:
        raise _refusal(f"format version {payload[2]}, this program reads version {VERSION}")
    body = memoryview(payload)[_HEADER:]  # not a copy
    if _digest(body) != payload[3:_HEADER]:
        raise _refusal("its checksum does not fit its content")
    return body


def _unpack(body: memoryview) -> Any:
    # Lists and maps are preallocated at their declared length, at every depth: hence the low caps.
    try:
        return msgpack.unpackb(
            body, max_array_len=_MOST_AXES, max_map_len=_MOST_NAMES, max_ext_len=0
        )
    except (ValueError, msgpack.UnpackException) as error:
        raise _refusal(f"the body is not readable msgpack ({type(error).__name__})") from error


def _pack(name: str, array: Array, period: float | None) -> list[Any]:
    dtype = _NAMES.get(array.dtype.newbyteorder("<"))
    if dtype is None:
        raise _refusal(f"array {name!r} is {array.dtype}, allowed are {', '.join(DTYPES)}")
    if array.ndim > _MOST_AXES:
        raise _refusal(f"array {name!r} has {array.ndim} axes, at most {_MOST_AXES} travel")
    raw = array.astype(DTYPES[dtype], copy=False).tobytes()
    return [dtype, list(array.shape), _period(period, name), raw]


def _arrays(entries: object, limit_bytes: int) -> tuple[Params, dict[str, float | None]]:
    if not isinstance(entries, dict):
        raise _refusal("'arrays' must be a map")
    arrays: Params = {}
    periods: dict[str, float | None] = {}
    for name, entry in entries.items():
        _name(name, "array name")
        arrays[name], periods[name] = _array(name, entry, limit_bytes)
    return arrays, periods


def _array(name: str, entry: object, limit_bytes: int) -> tuple[Array, float | None]:
    if not isinstance(entry, list) or len(entry) != 4:
        raise _refusal(f"array {name!r} must be [dtype, shape, period, bytes]")
    dtype, shape, period, raw = entry
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise _refusal(f"array {name!r} declares dtype {dtype!r}, allowed are {', '.join(DTYPES)}")
    if not isinstance(shape, list) or not isinstance(raw, bytes):
        raise _refusal(f"array {name!r} needs a list as shape and bytes as content")
    sizes = [_count(size, f"shape of array {name!r}") for size in shape]
    width = np.dtype(dtype).itemsize
    if width * math.prod(max(size, 1) for size in sizes) > limit_bytes:
        raise _refusal(
            f"array {name!r} declares shape {sizes}, at most {limit_bytes} bytes are read"
        )
    if width * math.prod(sizes) != len(raw):
        raise _refusal(f"array {name!r} declares shape {sizes} of {dtype} but has {len(raw)} bytes")
    array = np.frombuffer(raw, DTYPES[dtype]).reshape(sizes).astype(dtype)
    return array, _period(period, name)


def _kind(value: object) -> MessageKind:
    if value == "broadcast":
        return "broadcast"
    if value == "update":
        return "update"
    raise _refusal(f"kind must be 'broadcast' or 'update', got {value!r}")


def _count(value: object, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _LARGEST_INT:
        raise _refusal(f"{what} must be an integer from 0 to 2^53 - 1, got {value!r}")
    return value


def _name(value: object, what: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_NAME or not value.isprintable():
        raise _refusal(f"{what} must be 1 to {_LONGEST_NAME} printable characters, got {value!r}")
    return value


def _period(value: object, name: str) -> float | None:
    if value is None or (isinstance(value, float) and 0 < value < math.inf):
        return value
    raise _refusal(f"period of array {name!r} must be absent or positive, got {value!r}")


def _metrics(value: object) -> dict[str, float]:
    if not isinstance(value, dict) or len(value) > _MOST_NAMES:
        raise _refusal(f"metrics must be a map of at most {_MOST_NAMES} names")
    for name, number in value.items():
        _name(name, "metric name")
        if not isinstance(number, float):
            raise _refusal(f"metric {name!r} must be a float, got {type(number).__name__}")
    return value


def _refusal(reason: str) -> MessageError:
    return MessageError(f"federated message refused: {reason}"[:400])
