"""Effective dimension: how many of a circuit's parameters its predictions really feel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from qmarl.circuits.diagnostics_draws import call, random_weights, require_samples, tensors
from qmarl.errors import ConfigurationError
from qmarl.seeding import stream
from qmarl.types import Array

if TYPE_CHECKING:
    import torch

    from qmarl.circuits.circuit import Circuit

Model = Literal["softmax", "probabilities"]

UNLIKELY = 1e-12
"""Probabilities below this add nothing to the Fisher information."""


@dataclass(frozen=True)
class EffectiveDimension:
    """The effective dimension of a circuit (Abbas et al. 2021, arXiv:2011.00027, eq. 2).

    Attributes:
        value: The dimension; for ever more data it tends to the rank of the Fisher
            information, which is at most the number of parameters.
        normalised: ``value / parameters``.
        parameters: Trainable numbers of the circuit.
        rank: Mean number of eigenvalues above 1e-6 of the normalised Fisher information.
        n_data: Number of data that the dimension is for.
        samples: Number of parameter sets.
    """

    value: float
    normalised: float
    parameters: int
    rank: float
    n_data: int
    samples: int


def effective_dimension(
    circuit: Circuit,
    inputs: Array,
    n_data: int,
    samples: int,
    seed: int,
    *,
    model: Model = "softmax",
    gamma: float = 1.0,
) -> EffectiveDimension:
    """Measures the effective dimension of a circuit read as a policy.

    With the Fisher information ``F(t)`` of ``p(action | input; t)``, averaged over the inputs and
    exactly over the actions, and its normalised form ``G(t) = P F(t) / mean_t tr F(t)``, it is
    ``d = 2 ln(mean_t sqrt(det(1 + k G(t)))) / ln k`` with ``k = gamma n / (2 pi ln n)``, for ``n``
    data and ``P`` parameters ``t``, drawn as
    :func:`~qmarl.circuits.diagnostics_draws.random_weights` says.

    Args:
        circuit: The circuit.
        inputs: ``(rows, n_inputs)`` what the policy sees; few rows bound the rank of ``F``.
        n_data: Number of data ``n``.
        samples: Parameter sets, at least 2.
        seed: Seed of the parameters.
        model: ``softmax`` of the outputs, or outputs that are ``probabilities`` already.
        gamma: Constant in (0, 1].

    Raises:
        ConfigurationError: Too few samples, outputs or data, or inputs of the wrong shape.
    """
    require_samples(samples)
    _check(circuit, inputs)
    scale = _scale(n_data, gamma)
    weights = random_weights(circuit, samples, stream(seed, "effective dimension"))
    information = np.stack(
        [
            fisher(circuit, inputs, {n: w[k] for n, w in weights.items()}, model)
            for k in range(samples)
        ]
    )
    parameters = information.shape[-1]
    trace = float(np.trace(information, axis1=1, axis2=2).mean())
    normal = information * (parameters / trace) if trace > 0 else information
    halves = np.linalg.slogdet(np.eye(parameters) + scale * normal)[1] / 2
    value = float(2 * (np.logaddexp.reduce(halves) - math.log(samples)) / math.log(scale))
    rank = float(np.mean(np.linalg.matrix_rank(normal, tol=1e-6, hermitian=True)))
    return EffectiveDimension(value, value / parameters, parameters, rank, n_data, samples)


def fisher(
    circuit: Circuit, inputs: Array, weights: Mapping[str, Array], model: Model = "softmax"
) -> Array:
    """Fisher information ``(P, P)`` of a circuit's policy, averaged over inputs.

    For ``softmax`` it is ``J^T (diag p - p p^T) J`` and for ``probabilities``
    ``J^T diag(1 / p) J``, with the derivatives ``J`` ``(outputs, P)`` of the outputs.

    Args:
        circuit: The circuit.
        inputs: ``(rows, n_inputs)``.
        weights: One parameter set, named arrays.
        model: As in :func:`effective_dimension`.
    """
    import torch

    rows = len(inputs)
    repeated = {name: np.repeat(array[None], rows, 0) for name, array in weights.items()}
    leaves = tensors(repeated, slice(None))
    outputs = call(circuit, torch.as_tensor(inputs[:, None]), leaves)[:, 0]
    jacobian = np.stack([_slope(outputs, k, leaves) for k in range(circuit.n_outputs)], 1)
    values = outputs.detach().numpy()
    if model == "probabilities":
        factors = np.where(values > UNLIKELY, 1 / np.maximum(values, UNLIKELY), 0.0)
        return _average(factors, jacobian)
    likely = np.exp(values - values.max(1, keepdims=True))
    likely /= likely.sum(1, keepdims=True)
    centred = jacobian - np.einsum("bk,bkp->bp", likely, jacobian)[:, None]
    return _average(likely, centred)


def _average(factors: Array, slopes: Array) -> Array:
    """Weighted outer products ``(P, P)`` of slopes ``(rows, K, P)``, averaged over rows."""
    scaled = (slopes * np.sqrt(factors)[..., None]).reshape(-1, slopes.shape[-1])
    return np.asarray(scaled.T @ scaled / len(slopes))


def _slope(outputs: torch.Tensor, index: int, leaves: Mapping[str, torch.Tensor]) -> Array:
    """Derivatives ``(rows, P)`` of one output."""
    import torch

    parts = torch.autograd.grad(outputs[:, index].sum(), list(leaves.values()), retain_graph=True)
    return np.concatenate([part.reshape(len(outputs), -1).numpy() for part in parts], 1)


def _check(circuit: Circuit, inputs: Array) -> None:
    if inputs.ndim != 2 or inputs.shape[1] != circuit.n_inputs or not len(inputs):
        raise ConfigurationError(
            f"circuit '{circuit.name}': inputs must be (rows, {circuit.n_inputs}), "
            f"got {inputs.shape}"
        )
    if circuit.n_outputs < 2:
        raise ConfigurationError(
            f"circuit '{circuit.name}': a policy chooses among at least 2 outputs, it has 1"
        )


def _scale(n_data: int, gamma: float) -> float:
    if not 0 < gamma <= 1:
        raise ConfigurationError(f"gamma: got {gamma}, it must be above 0 and at most 1")
    scale = gamma * n_data / (2 * math.pi * math.log(n_data)) if n_data > 1 else 0.0
    if scale <= 1:
        raise ConfigurationError(
            f"n_data: {n_data} data are too few to define the dimension; 19 are enough with gamma "
            "1, more with a smaller one"
        )
    return scale
