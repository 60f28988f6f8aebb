"""Fewer bytes from client to server: updates squeezed into few numbers, and back to float64.

A squeezed update carries neither names nor periods: both sides go by the layout, of which a digest
travels. All parameters are one vector of ``d`` numbers, in the layout's order.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, ClassVar, Literal, Protocol

import numpy as np
from pydantic import Field

from qmarl.config import Section
from qmarl.federated.messages import MessageError, size_limit
from qmarl.seeding import stream
from qmarl.types import Array, Layout, Params


class Compression(Protocol):
    """Squeezes a vector."""

    @property
    def feedback(self) -> bool:
        """Whether the client adds what got lost to its next update."""
        ...

    def squeeze(self, vector: Array, sizes: Array, rng: np.random.Generator) -> Params:
        """Returns the arrays that travel instead of ``vector``.

        Args:
            vector: ``(d,)`` float64.
            sizes: Number of numbers of each parameter, adding up to ``d``.
            rng: Stream of this update; the reader has the same one.
        """
        ...

    def unfold(self, arrays: Params, sizes: Array, rng: np.random.Generator) -> Array:
        """Returns the vector ``(d,)`` float64 that the arrays stand for.

        Raises:
            MessageError: They do not stand for any.
        """
        ...


class Quantise(Section):
    """Few bits for each number, rounded up or down by chance (QSGD, Alistarh et al. 2017).

    Every parameter has one scale, its largest magnitude ``m``. A number becomes one of the
    ``2^bits - 1`` multiples of ``m / (2^(bits - 1) - 1)``, and its mean is the number itself.
    """

    shorthand: ClassVar[str | None] = "kind"

    kind: Literal["quantise"] = "quantise"
    """How updates are compressed."""
    bits: int = Field(default=8, ge=2, le=16)
    """Bits of each number."""

    @property
    def feedback(self) -> bool:
        """No: rounding has no bias."""
        return False

    def squeeze(self, vector: Array, sizes: Array, rng: np.random.Generator) -> Params:
        """``codes``: packed bits; ``scales``: one for each parameter."""
        parts = np.split(np.abs(vector), np.cumsum(sizes)[:-1])
        scales = np.array([part.max(initial=0.0) for part in parts])
        lots = rng.random(len(vector))
        if not np.isfinite(scales).all():  # the reader is to see what was learned, and refuses it
            return {"codes": self._packed(np.zeros(len(vector), np.int64)), "scales": scales}
        unit = np.repeat(np.where(scales > 0, scales, 1.0), sizes)
        steps = np.floor(vector / unit * self._most + lots)
        codes = np.clip(steps, -self._most, self._most).astype(np.int64) + self._most
        return {"codes": self._packed(codes), "scales": scales}

    def unfold(self, arrays: Params, sizes: Array, rng: np.random.Generator) -> Array:  # noqa: ARG002
        """``code * scale``."""
        count = int(sizes.sum())
        packed = -(-count * self.bits // 8)
        _expect(arrays, {"codes": (np.uint8, packed), "scales": (np.float64, len(sizes))})
        bits = np.unpackbits(arrays["codes"], count=count * self.bits).reshape(count, self.bits)
        codes = bits.astype(np.int64) @ (1 << np.arange(self.bits))
        if (codes > 2 * self._most).any() or (arrays["scales"] < 0).any():
            raise MessageError("a code or a scale is none that can be")
        with np.errstate(over="ignore", invalid="ignore"):
            return np.repeat(arrays["scales"], sizes) * ((codes - self._most) / self._most)

    @property
    def _most(self) -> int:
        return int(2 ** (self.bits - 1) - 1)

    def _packed(self, codes: Array) -> Array:
        return np.packbits((codes[:, None] >> np.arange(self.bits) & 1).astype(np.uint8))


class TopK(Section):
    """The largest numbers alone; the rest waits for the next round (Stich et al. 2018)."""

    shorthand: ClassVar[str | None] = "kind"

    kind: Literal["top_k"] = "top_k"
    """How updates are compressed."""
    share: float = Field(default=0.1, gt=0, le=1)
    """Share of the numbers that travels, rounded up; as float32."""
    error_feedback: bool = True
    """Whether a client keeps what did not travel and adds it to its next update."""

    @property
    def feedback(self) -> bool:
        """As configured; rounding to float32 is fed back too."""
        return self.error_feedback

    def squeeze(self, vector: Array, sizes: Array, rng: np.random.Generator) -> Params:  # noqa: ARG002
        """``places``, ascending, and ``values``; of equals, the first ones."""
        order = np.argsort(-np.abs(vector), kind="stable")
        if np.isnan(vector).any():  # those sort last, and must be seen
            order = order[::-1]
        places = np.sort(order[: _some(len(vector), self.share)])
        with np.errstate(over="ignore"):
            values = vector[places].astype(np.float32)
        return {"places": places.astype(np.uint32), "values": values}

    def unfold(self, arrays: Params, sizes: Array, rng: np.random.Generator) -> Array:  # noqa: ARG002
        """Zeros, and the values at their places."""
        count = int(sizes.sum())
        some = _some(count, self.share)
        _expect(arrays, {"places": (np.uint32, some), "values": (np.float32, some)})
        places = arrays["places"].astype(np.int64)
        if (np.diff(places) <= 0).any() or (places >= count).any():
            raise MessageError(f"places must ascend and stay below {count}")
        vector = np.zeros(count)
        vector[places] = arrays["values"]
        return vector


class RandomMask(Section):
    """A random part, scaled up so that its mean is the whole (Konecny et al. 2016).

    Places do not travel: client and server draw the same ones, anew for every client and round.
    """

    shorthand: ClassVar[str | None] = "kind"

    kind: Literal["random_mask"] = "random_mask"
    """How updates are compressed."""
    share: float = Field(default=0.25, gt=0, le=1)
    """Share of the numbers that travels, rounded up."""

    @property
    def feedback(self) -> bool:
        """No: the mask has no bias."""
        return False

    def squeeze(self, vector: Array, sizes: Array, rng: np.random.Generator) -> Params:  # noqa: ARG002
        """``values`` alone."""
        return {"values": vector[self._places(len(vector), rng)]}

    def unfold(self, arrays: Params, sizes: Array, rng: np.random.Generator) -> Array:
        """Zeros, and ``d / k`` times the values at their places."""
        count = int(sizes.sum())
        _expect(arrays, {"values": (np.float64, _some(count, self.share))})
        vector, places = np.zeros(count), self._places(count, rng)
        with np.errstate(over="ignore"):
            vector[places] = arrays["values"] * (count / max(len(places), 1))
        return vector

    def _places(self, count: int, rng: np.random.Generator) -> Array:
        return np.sort(rng.permutation(count)[: _some(count, self.share)])


class Uncompressed(Section):
    """Deltas travel as they are, in float64."""

    shorthand: ClassVar[str | None] = "kind"

    kind: Literal["none"] = "none"
    """How updates are compressed."""


COMPRESSIONS = {
    "none": Uncompressed,
    "quantise": Quantise,
    "top_k": TopK,
    "random_mask": RandomMask,
}
"""Every compression by its name in the configuration."""

CompressionConfig = Annotated[
    Uncompressed | Quantise | TopK | RandomMask, Field(discriminator="kind")
]
"""A compression in a configuration: ``{kind: quantise, bits: 4}``, or the bare word."""


class Codec:
    """Turns updates into what travels, and back; plainly, unless there is a compression.

    Args:
        layout: Declaration of the shared parameters only.
        group: Name of the agent group.
        compression: How updates are compressed.
        seed: Root of the streams that client and server have in common.
    """

    def __init__(
        self,
        layout: Layout,
        group: str,
        compression: Compression | Uncompressed | None = None,
        seed: int = 0,
    ) -> None:
        self.layout, self._group, self._seed = dict(layout), group, seed
        self._compression = None if isinstance(compression, Uncompressed) else compression
        self._sizes = np.array([spec.size for spec in layout.values()], np.int64)
        facts = [(name, spec.shape, spec.period) for name, spec in layout.items()]
        digest = hashlib.blake2b(repr((facts, compression)).encode(), digest_size=8).digest()
        self._digest = np.frombuffer(digest, np.uint8)

    @property
    def limit(self) -> int:
        """Largest message in bytes, with room for as much again that rides along."""
        return 2 * size_limit(self.layout)

    def write(
        self, deltas: Params, memory: Params, client: str, round_number: int
    ) -> tuple[Params, Params]:
        """Returns the arrays that travel, and what the client has to remember.

        Args:
            deltas: Of the shared names, float64.
            memory: What the client's last call returned, ``{}`` before the first.
            client: Name of the client.
            round_number: The round that the update belongs to.
        """
        compression = self._compression
        if compression is None:
            return deltas, memory
        whole = np.concatenate([deltas[name].ravel() for name in self.layout])
        if compression.feedback and memory:
            whole = whole + memory["left"]
        rng = self._stream(client, round_number)
        arrays = compression.squeeze(whole, self._sizes, rng)
        if compression.feedback:
            told = compression.unfold(arrays, self._sizes, self._stream(client, round_number))
            with np.errstate(invalid="ignore"):
                left = whole - told
            memory = {"left": left} if np.isfinite(left).all() else memory
        return {"layout": self._digest, **arrays}, memory

    def read(self, arrays: Params, client: str, round_number: int) -> Params:
        """Returns deltas by name; whether they are finite and of the right shape is not checked.

        Raises:
            MessageError: The arrays are not what this compression sends.
        """
        compression = self._compression
        if compression is None:
            return arrays
        digest = arrays.get("layout")
        if digest is None or digest.tobytes() != self._digest.tobytes():
            raise MessageError("compressed otherwise, or with other parameters in mind")
        rest = {name: array for name, array in arrays.items() if name != "layout"}
        vector = compression.unfold(rest, self._sizes, self._stream(client, round_number))
        parts = np.split(vector, np.cumsum(self._sizes)[:-1])
        named = zip(self.layout.items(), parts, strict=True)
        return {name: part.reshape(spec.shape) for (name, spec), part in named}

    @property
    def plain(self) -> bool:
        """Whether arrays travel as they are, with their names and periods."""
        return self._compression is None

    def _stream(self, client: str, round_number: int) -> np.random.Generator:
        return stream(self._seed, "compression", round_number, self._group, client)


def _some(count: int, share: float) -> int:
    return int(np.ceil(share * count - 1e-9))


def _expect(arrays: Params, wanted: dict[str, tuple[type[np.generic], int]]) -> None:
    if set(arrays) != set(wanted):
        raise MessageError(f"arrays {sorted(arrays)}, but {sorted(wanted)} are sent")
    for name, (dtype, count) in wanted.items():
        array = arrays[name]
        if array.dtype != dtype or array.shape != (count,):
            raise MessageError(
                f"{name!r} must be {np.dtype(dtype)} ({count},), got {array.dtype} {array.shape}"
            )
