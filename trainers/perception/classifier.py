"""The classifier: a circuit whose first expectation values are the logits, for many learners.

A feature ``x`` turns a qubit that stands at ``|+>`` by ``arctan(x)`` and ``arctan(x^2)``, as in
Chen and Yoo 2021 (arXiv:2103.12010).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from qmarl.types import Array, Layout, Params
from trainers.algorithms.adam import Packing, RoleSettings, StackedAdam, initial_moments
from trainers.perception.samples import CLASSES, Samples

if TYPE_CHECKING:
    import torch

    from qmarl.circuits import Circuit
    from trainers.perception.config import ClassifierConfig


@dataclass(frozen=True)
class Minibatch:
    """One optimiser step's samples for every learner of a stack; the shorter ones are padded.

    Attributes:
        inputs: ``(S, B, 2 F)`` float64 [rad].
        labels: ``(S, B)`` int64.
        weights: ``(S, B)`` float64, one over the learner's number of samples, 0 in the padding.
    """

    inputs: Array
    labels: Array
    weights: Array

    @classmethod
    def of(cls, samples: list[Samples]) -> Minibatch:
        """Lays one part of each learner's samples side by side."""
        longest = max(len(part.labels) for part in samples)
        return cls(
            np.stack([_padded(turns(part.features), longest) for part in samples]),
            np.stack([_padded(part.labels, longest) for part in samples]),
            np.stack(
                [_padded(np.full(len(p.labels), 1 / len(p.labels)), longest) for p in samples]
            ),
        )


@dataclass(frozen=True)
class Classifier:
    """Learns and judges for ``S`` learners at once.

    Attributes:
        config: Its section.
        circuit: The circuit, compiled.
    """

    config: ClassifierConfig
    circuit: Circuit

    @property
    def layout(self) -> Layout:
        """Its parameters."""
        return self.circuit.layout

    def initial(self, rng: np.random.Generator) -> Params:
        """First parameters of one learner, float64."""
        return self.circuit.initial(rng)

    def learned(self, params: Params, minibatches: list[Minibatch], proximal_mu: float) -> Params:
        """Takes one Adam step for each minibatch; the moments start at zero.

        Args:
            params: Parameters ``(S, ...)`` as they were broadcast.
            minibatches: What to learn from, in this order.
            proximal_mu: Strength of FedProx's extra loss ``mu / 2 * |parameters - broadcast|^2``.
        """
        import torch

        torch.set_num_threads(1)
        packing = Packing.of(self.layout)
        start = torch.as_tensor(packing.pack(params))
        rows = start.clone().requires_grad_()
        moments = initial_moments(len(rows), self.layout)
        adam = StackedAdam(packing, rows, moments, self._settings())
        for minibatch in minibatches:
            loss = self._loss(packing.views(rows), minibatch)
            loss = loss + 0.5 * proximal_mu * (rows - start).square().sum()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
        return packing.unpack(rows.detach().numpy())

    def correct(self, params: Params, samples: Samples) -> Array:
        """Which samples each learner gets right: ``(S, n)`` bool."""
        import torch

        inputs = turns(samples.features)
        stacked = np.repeat(inputs[None], len(next(iter(params.values()))), 0)
        with torch.no_grad():
            tensors = {name: torch.as_tensor(array) for name, array in params.items()}
            logits = self._logits(tensors, torch.as_tensor(stacked))
        right: Array = logits.argmax(-1).numpy() == samples.labels
        return right

    def _settings(self) -> RoleSettings:
        """No clipping."""
        return RoleSettings({"angles": self.config.learning_rate}, {"angles": float("inf")})

    def _loss(self, params: dict[str, torch.Tensor], minibatch: Minibatch) -> torch.Tensor:
        """Sum over learners of their mean cross-entropies."""
        import torch

        logits = self._logits(params, torch.as_tensor(minibatch.inputs))
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), torch.as_tensor(minibatch.labels).flatten(), reduction="none"
        )
        return (losses * torch.as_tensor(minibatch.weights).flatten()).sum()

    def _logits(self, params: dict[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
        return self.config.logit_scale * self.circuit(inputs, params)[..., :CLASSES]


@lru_cache(maxsize=8)  # compiling takes a second or more
def make_classifier(config: ClassifierConfig) -> Classifier:
    """Compiles the classifier of a section."""
    from qmarl.circuits import build_circuit

    return Classifier(config, build_circuit(config.circuit, 2 * config.qubits))


def turns(features: Array) -> Array:
    """Angles ``(..., 2 F)`` of features ``(..., F)``: about y, then about z, of every qubit.

    The quarter turn about y takes the place of a Hadamard gate on ``|0>``.

    >>> turns(np.array([0.0])).round(3).tolist()
    [1.571, 0.0]
    """
    about_y = np.pi / 2 + np.arctan(features)
    return np.stack([about_y, np.arctan(features**2)], -1).reshape(*features.shape[:-1], -1)


def _padded(array: Array, length: int) -> Array:
    room = np.zeros((length - len(array), *array.shape[1:]), array.dtype)
    return np.concatenate([array, room])
