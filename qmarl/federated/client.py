"""The client's side of a round: take the broadcast, give back what was learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from qmarl.errors import RunError
from qmarl.federated.messages import decode, encode, size_limit
from qmarl.types import Envelope, Layout, Params


@dataclass(frozen=True)
class Client:
    """One participant: an agent, or a fleet whose agents share a model.

    Attributes:
        name: The client's own name.
        group: Name of the agent group whose model this is.
        layout: Declaration of the shared parameters only, as
            :func:`~qmarl.federated.share.select` gives it.
    """

    name: str
    group: str
    layout: Layout

    def receive(self, payload: bytes, round_number: int) -> Params:
        """Reads the server's broadcast.

        Returns:
            The shared parameters, float64, by name; personal ones are not among them.

        Raises:
            RunError: The message is damaged, or meant for another client, group or round, or does
                not have exactly the shared parameters.
        """
        envelope = decode(payload, size_limit(self.layout))
        got = (envelope.kind, envelope.client, envelope.group, envelope.round)
        if got != (wanted := ("broadcast", self.name, self.group, round_number)):
            raise RunError(f"client '{self.name}' expected the message {wanted}, got {got}")
        shapes = {name: array.shape for name, array in envelope.arrays.items()}
        if shapes != (declared := {name: spec.shape for name, spec in self.layout.items()}):
            raise RunError(f"client '{self.name}' shares {declared}, the broadcast has {shapes}")
        return envelope.arrays

    def submit(
        self,
        round_number: int,
        start: Params,
        trained: Params,
        examples: int,
        metrics: Mapping[str, float] | None = None,
    ) -> bytes:
        """Packs what was learned: ``trained - start`` of the shared names, in float64.

        Angles are subtracted as they are: theta and theta + 2 pi are one circuit, but wrapping
        them before they are averaged would turn a small step into a large one.

        Args:
            round_number: Round of the broadcast that ``start`` came from.
            start: Parameters before training; the broadcast itself where training is in float32,
                so that its rounding on the way in is part of the delta and does not pile up.
            trained: Parameters after training, of any float type; personal names are left out.
            examples: Number of examples trained on.
            metrics: Plain numbers that ride along, in clear.

        Returns:
            The message for the server.
        """
        return self.send(round_number, self.learned(start, trained), examples, metrics)

    def learned(self, start: Params, trained: Params) -> Params:
        """``trained - start`` of the shared names, float64."""
        return {
            name: np.asarray(trained[name], np.float64) - np.asarray(start[name], np.float64)
            for name in self.layout
        }

    def send(
        self,
        round_number: int,
        arrays: Params,
        examples: int,
        metrics: Mapping[str, float] | None = None,
    ) -> bytes:
        """Packs arrays as the update of a round.

        Args:
            round_number: Round of the broadcast that they came from.
            arrays: Deltas, or what a :class:`~qmarl.federated.compression.Codec` made of them, and
                what rides along.
            examples: Number of examples behind them.
            metrics: Plain numbers that ride along, in clear.
        """
        periods = {name: spec.period for name, spec in self.layout.items()}
        return encode(
            Envelope(
                kind="update",
                round=round_number,
                client=self.name,
                group=self.group,
                arrays=arrays,
                periods={name: periods.get(name) for name in arrays},
                examples=int(examples),
                metrics={key: float(value) for key, value in (metrics or {}).items()},
            )
        )
