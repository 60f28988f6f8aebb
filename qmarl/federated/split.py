"""Split learning's messages: activations one way, gradients the other, over a channel.

A network is cut between clients and server (Gupta and Raskar 2018, arXiv:1810.06060). What crosses
the cut is an :class:`~qmarl.types.Envelope` with one array, in the wire format of all federated
messages, and is believed as little. Unlike an update it cannot be left out, so a message that does
not fit ends the exchange.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from qmarl.errors import ConfigurationError
from qmarl.federated.messages import MessageError, decode, encode
from qmarl.federated.privacy_noise import NoiseSource
from qmarl.federated.transport import SERVER
from qmarl.types import Array, Channel, Envelope, Link, MessageKind

Flow = Literal["activations", "outputs", "output_gradients", "activation_gradients"]
"""What crosses a cut: ``activations`` up, the server's ``outputs`` down, their gradients back."""

UPWARD: tuple[Flow, ...] = ("activations", "output_gradients")
"""What travels from a client to the server; the rest travels down."""


@dataclass(frozen=True)
class Slip:
    """Says of a piece all that its receiver knows before it comes.

    Attributes:
        flow: What it is.
        group: Name of the agent group whose network is cut.
        client: The client that sends it or is meant to receive it.
        round: Round number, from 0.
        batch: Number of the batch in this round, from 0; each flow crosses once in each batch.
        shape: Shape of the array, ``(B, width)``.
        dtype: ``float32`` or ``float64``.
    """

    flow: Flow
    group: str
    client: str
    round: int
    batch: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def kind(self) -> MessageKind:
        """``update`` for what goes up, ``broadcast`` for what goes down."""
        return "update" if self.flow in UPWARD else "broadcast"

    @property
    def link(self) -> Link:
        """Sender, receiver and round."""
        ends = (self.client, SERVER) if self.flow in UPWARD else (SERVER, self.client)
        return Link(*ends, self.round)

    @property
    def limit(self) -> int:
        """Largest message in bytes that is read for this piece."""
        return int(2**16 + 8 * np.prod(self.shape))


def pack(slip: Slip, array: Array) -> bytes:
    """Packs the array that ``slip`` describes.

    Raises:
        MessageError: The array is not what the slip says.
    """
    _check_array(slip, array)
    return encode(
        Envelope(
            kind=slip.kind,
            round=slip.round,
            client=slip.client,
            group=slip.group,
            arrays={slip.flow: array},
            periods={slip.flow: None},
            examples=int(slip.shape[0]),
            metrics={"batch": float(slip.batch)},
        )
    )


def unpack(slip: Slip, payload: bytes) -> Array:
    """Reads the array that the receiver expects.

    Args:
        slip: What is expected.
        payload: What :func:`pack` gave, or whatever a stranger sent instead.

    Returns:
        The array, fresh and writable.

    Raises:
        MessageError: The message is damaged, or of another flow, group, client, round or batch, or
            its array has another shape or type or is not finite.
    """
    try:
        envelope = decode(payload, slip.limit)
    except MessageError as error:
        raise _refusal(slip, str(error)) from error
    got = (envelope.kind, envelope.group, envelope.client, envelope.round)
    if got != (wanted := (slip.kind, slip.group, slip.client, slip.round)):
        raise _refusal(slip, f"expected {wanted}, got {got}")
    if set(envelope.arrays) != {slip.flow}:
        raise _refusal(slip, f"it holds {sorted(envelope.arrays)}")
    numbers = (envelope.examples, envelope.metrics)
    if numbers != (wanted_numbers := (slip.shape[0], {"batch": float(slip.batch)})):
        raise _refusal(slip, f"expected {wanted_numbers}, got {numbers}")
    array = envelope.arrays[slip.flow]
    _check_array(slip, array)
    return array


@dataclass(frozen=True)
class Cut:
    """One client's border with the server in one round.

    Attributes:
        channel: Carries the bytes.
        group: Name of the agent group.
        client: Name of the client.
        round: Round number.
        dtype: Type of all numbers that cross, ``float32`` or ``float64``.

    Raises:
        ConfigurationError: The client is called ``server``.
    """

    channel: Channel
    group: str
    client: str
    round: int
    dtype: str

    def __post_init__(self) -> None:
        """Refuses a client that could be taken for the server."""
        if self.client == SERVER:
            raise ConfigurationError(f"split learning: no client may be called '{SERVER}'")

    def carry(self, flow: Flow, batch: int, array: Array, shape: tuple[int, ...]) -> Array:
        """Sends an array across and reads it on the other side.

        Args:
            flow: What it is.
            batch: Number of the batch.
            array: What the sender has.
            shape: What the receiver expects.

        Raises:
            RunError: It did not come across as it must.
        """
        slip = Slip(flow, self.group, self.client, self.round, batch, shape, self.dtype)
        return unpack(slip, self.channel.transfer(pack(slip, array), slip.link))


@dataclass(frozen=True)
class Guard:
    """Makes single samples less visible in what a client sends: clips each, and adds noise.

    Every sample's activations are scaled to an L2 norm of at most ``C``, and Gaussian noise of
    deviation ``z * C`` is added to each number. Without noise this bounds, and hides nothing. With
    it, one message of one sample is a Gaussian mechanism of sensitivity ``2 C`` between any two
    observations. It covers neither the many messages of a training nor the gradients, and it is no
    part of the account of clients (:mod:`qmarl.federated.privacy`).

    Attributes:
        clipping_norm: ``C``, or ``None``: neither clipping nor noise.
        noise_multiplier: ``z``; 0 means no noise.
    """

    clipping_norm: float | None = None
    noise_multiplier: float = 0.0

    def protect(self, activations: Array, source: NoiseSource, *name: str | int) -> Array:
        """Returns what may be sent instead of ``activations`` ``(B, k)``, in their type.

        Args:
            activations: One row for each sample.
            source: Where the noise comes from.
            name: Of the noise's stream; it must differ for every message.
        """
        clipped = self.clipped(activations)
        if self.clipping_norm is None or self.noise_multiplier == 0:
            return clipped
        noise = source.gaussian(activations.size, *name).reshape(activations.shape)
        return (clipped + self.noise_multiplier * self.clipping_norm * noise).astype(
            activations.dtype
        )

    def clipped(self, activations: Array) -> Array:
        """Returns ``activations`` ``(..., k)``, each row within the norm, without noise."""
        if self.clipping_norm is None:
            return activations
        return np.asarray(activations * self._scales(activations))

    def pull(self, activations: Array, gradients: Array) -> Array:
        """Takes gradients of what was sent back to gradients of ``activations``, both ``(B, k)``.

        A row ``h`` beyond the norm was sent as ``C h / |h|``, so its gradient ``g`` becomes
        ``C / |h| (g - h (h g) / |h|^2)``.
        """
        scales = self._scales(activations)
        square = np.maximum(np.square(activations).sum(-1, keepdims=True), np.finfo(float).tiny)
        along = activations * (activations * gradients).sum(-1, keepdims=True) / square
        return np.asarray(scales * np.where(scales < 1, gradients - along, gradients))

    def _scales(self, activations: Array) -> Array:
        """``(B, 1)`` factors, 1 for rows within the norm."""
        if self.clipping_norm is None:
            return np.ones((len(activations), 1), activations.dtype)
        norms = np.linalg.norm(activations, axis=-1, keepdims=True)
        scales: Array = (self.clipping_norm / np.maximum(norms, self.clipping_norm)).astype(
            activations.dtype
        )
        return scales


OPEN = Guard()
"""Neither clips nor adds noise."""


def _check_array(slip: Slip, array: Array) -> None:
    if slip.flow not in get_args(Flow):
        raise _refusal(slip, f"allowed are {', '.join(get_args(Flow))}")
    if array.shape != slip.shape or array.dtype != slip.dtype:
        expected = f"{slip.dtype} {slip.shape}"
        raise _refusal(slip, f"it is {array.dtype} {array.shape}, not {expected}")
    if not np.isfinite(array).all():
        raise _refusal(slip, "it is not finite")


def _refusal(slip: Slip, reason: str) -> MessageError:
    return MessageError(
        f"{slip.flow} of client '{slip.client}' refused in batch {slip.batch} of round "
        f"{slip.round}: {reason}"[:400]
    )
