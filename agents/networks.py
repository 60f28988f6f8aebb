"""Multilayer perceptrons as plain functions of named, stacked parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from qmarl.types import Array, ParameterSpec, Params

if TYPE_CHECKING:
    import torch


def mlp_layout(sizes: Sequence[int]) -> dict[str, ParameterSpec]:
    """Declares the parameters of a perceptron with tanh between its layers.

    Args:
        sizes: Widths from input to output, at least two.

    Example:
        >>> sorted(mlp_layout([12, 9, 7]))
        ['b0', 'b1', 'w0', 'w1']
    """
    layout = {}
    for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
        layout[f"w{layer}"] = ParameterSpec((inputs, outputs), None, "weights")
        layout[f"b{layer}"] = ParameterSpec((outputs,), None, "weights")
    return layout


def mlp_initial(sizes: Sequence[int], rng: np.random.Generator, last_gain: float) -> Params:
    """Draws Glorot-uniform weights (Glorot and Bengio 2010) and zero biases.

    Args:
        sizes: Widths from input to output.
        rng: Source of randomness.
        last_gain: Factor on the last layer's weights; small values start near uniform policies.
    """
    params: Params = {}
    for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
        bound = np.sqrt(6.0 / (inputs + outputs))
        gain = last_gain if layer == len(sizes) - 2 else 1.0
        params[f"w{layer}"] = gain * rng.uniform(-bound, bound, (inputs, outputs))
        params[f"b{layer}"] = np.zeros(outputs)
    return params


def mlp_forward(params: Params, inputs: Array) -> Array:
    """Evaluates a stack of perceptrons in NumPy.

    Args:
        params: Arrays with a leading stack axis, ``w0`` of ``(S, inputs, width)`` and so on;
            names that are not of the perceptron do not matter.
        inputs: ``(S, B, inputs)``.

    Returns:
        ``(S, B, outputs)``.
    """
    depth = _depth(params)
    for layer in range(depth):
        inputs = inputs @ params[f"w{layer}"] + params[f"b{layer}"][..., None, :]
        if layer < depth - 1:
            np.tanh(inputs, out=inputs)
    return inputs


def mlp_forward_torch(params: Mapping[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    """Does what :func:`mlp_forward` does, in torch and differentiably."""
    import torch

    depth = _depth(params)
    for layer in range(depth):
        inputs = torch.baddbmm(params[f"b{layer}"].unsqueeze(-2), inputs, params[f"w{layer}"])
        if layer < depth - 1:
            inputs = inputs.tanh()
    return inputs


def _depth(params: Iterable[str]) -> int:
    return sum(name.startswith("w") for name in params)


def parameter_count(layout: Mapping[str, ParameterSpec]) -> int:
    """Number of trainable numbers of one model."""
    return sum(spec.size for spec in layout.values())
