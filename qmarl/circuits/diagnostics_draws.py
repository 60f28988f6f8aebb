"""What all diagnostics share: random parameters, and many of them evaluated in one call."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from qmarl.errors import ConfigurationError
from qmarl.types import Array, Params

if TYPE_CHECKING:
    import torch

    from qmarl.circuits.circuit import Circuit

ROOM = 1 << 18
"""Complex numbers that one call may keep for each layer."""

UNITARIES = 5
"""Up to this many qubits the executor builds whole unitaries."""


def require_samples(samples: int, least: int = 2) -> None:
    """Refuses numbers of samples that say nothing about spread.

    Raises:
        ConfigurationError: There are fewer than ``least``.
    """
    if samples < least:
        raise ConfigurationError(f"samples: got {samples}, at least {least} are needed")


def random_weights(circuit: Circuit, samples: int, rng: np.random.Generator) -> Params:
    """Draws parameters from the whole of their space.

    Angles are uniform over their period (2 pi where none is known); other parameters, such as
    scales, have no bounds and are drawn as those of a new circuit.

    Returns:
        Named arrays ``(samples, *shape)``, float64.
    """
    started = [circuit.initial(rng) for _ in range(samples)]
    weights = {name: np.stack([one[name] for one in started]) for name in circuit.layout}
    for name, spec in circuit.layout.items():
        if spec.role == "angles":
            half = (spec.period or 2 * math.pi) / 2
            weights[name] = rng.uniform(-half, half, (samples, *spec.shape))
    return weights


def shares(samples: int, qubits: int) -> Iterator[slice]:
    """Divides samples into calls that fit into memory.

    On few qubits each sample keeps whole unitaries, on more of them states.

    >>> [(part.start, part.stop) for part in shares(100, 8)]
    [(0, 64), (64, 100)]
    """
    step = max(1, ROOM >> (2 * qubits if qubits <= UNITARIES else qubits + 4))
    for start in range(0, samples, step):
        yield slice(start, min(start + step, samples))


def tensors(weights: Mapping[str, Array], part: slice) -> dict[str, torch.Tensor]:
    """A share of stacked weights, ready to be differentiated."""
    import torch

    return {
        name: torch.as_tensor(array[part]).clone().requires_grad_()
        for name, array in weights.items()
    }


def call(
    circuit: Circuit, inputs: torch.Tensor, weights: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """Evaluates a circuit, whether or not its weights have names."""
    return circuit(inputs, weights if circuit.named else next(iter(weights.values())))


def outputs(circuit: Circuit, inputs: Array, weights: Mapping[str, Array], qubits: int) -> Array:
    """Evaluates one sample under each of many parameter sets.

    Args:
        circuit: The circuit.
        inputs: ``(samples, n_inputs)``.
        weights: Named arrays ``(samples, *shape)``.
        qubits: Number of its qubits.

    Returns:
        ``(samples, n_outputs)``, float64.
    """
    import torch

    rows = []
    with torch.no_grad():
        for part in shares(len(inputs), qubits):
            features = torch.as_tensor(inputs[part, None])
            rows.append(call(circuit, features, tensors(weights, part))[:, 0].numpy())
    return np.concatenate(rows)
