"""States prepared from inputs: amplitudes ``p / |p|`` of a sample's own numbers.

With ``p`` the padded inputs and ``g`` the gradient by the state ``s = p / |p|``, the gradient by
``p`` is ``(g - s (s . g)) / |p|``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qmarl.circuits.gates import Prepared
from qmarl.errors import RunError
from qmarl.types import Array


class Preparation(NamedTuple):
    """A prepared state as arrays, for ``N`` amplitudes that inputs or constants give.

    Attributes:
        circuit: Name of the circuit, for messages.
        size: Basis states ``2**n``.
        places: ``(N,)`` basis state of each.
        factor: ``(N, 1, 1)`` factor of its feature, 0 for constants.
        offset: ``(N, 1, 1)`` constant part.
        feature: ``(N,)`` index of its feature, 0 for constants.
        varied: The amplitudes that are not constant.
        repeats: Whether a feature gives more than one of them.
    """

    circuit: str
    size: int
    places: Array
    factor: Array
    offset: Array
    feature: Array
    varied: Array
    repeats: bool


class PreparedTrace(NamedTuple):
    """What the backward pass wants: amplitudes ``(N, A, B)`` and the norm ``(A, B)`` of ``p``."""

    amplitudes: Array
    norm: Array


def lower_prepared(prepared: Prepared, qubits: int) -> Preparation:
    """Writes a prepared state as arrays."""
    index, places = np.arange(len(prepared.amplitudes)), np.zeros(len(prepared.amplitudes), int)
    for k, wire in enumerate(reversed(prepared.wires)):
        places |= (index >> k & 1) << (qubits - 1 - wire)
    angles = prepared.amplitudes
    features = [angle.feature for angle in angles if angle.feature >= 0]
    return Preparation(
        circuit=prepared.circuit,
        size=2**qubits,
        places=places,
        factor=np.array([angle.factor for angle in angles]).reshape(-1, 1, 1),
        offset=np.array([angle.offset for angle in angles]).reshape(-1, 1, 1),
        feature=np.array([max(0, angle.feature) for angle in angles]),
        varied=np.array([k for k, angle in enumerate(angles) if angle.feature >= 0]),
        repeats=len(set(features)) < len(features),
    )


def prepare(plan: Preparation, features: Array) -> tuple[Array, PreparedTrace]:
    """The states ``(2**n, A, B)`` of features ``(F, A, B)``, complex.

    Raises:
        RunError: The numbers of a sample are all zero, or not finite.
    """
    p = features[plan.feature] * plan.factor.astype(features.dtype)
    p += plan.offset.astype(features.dtype)
    largest = np.abs(p).max(0)
    check_amplitudes(plan.circuit, largest)
    p /= largest  # the squares neither overflow nor vanish
    length = np.sqrt((p * p).sum(0))
    p /= length
    psi = np.zeros((plan.size, *p.shape[1:]), np.result_type(p, 1j))
    psi.real[plan.places] = p
    return psi, PreparedTrace(p, largest * length)


def check_amplitudes(circuit: str, largest: Array) -> None:
    """Looks for samples that make no state.

    Args:
        circuit: Name of the circuit.
        largest: Largest absolute amplitude of each sample, before they are normalised.

    Raises:
        RunError: There is one.
    """
    if not np.isfinite(largest).all():
        raise RunError(f"circuit '{circuit}': its inputs are not all finite numbers")
    if not largest.all():
        raise RunError(
            f"circuit '{circuit}': the inputs of a sample that its state is made of are all zero; "
            "they have no direction to prepare"
        )


def pull_prepared(plan: Preparation, trace: PreparedTrace, mu: Array, inputs: Array) -> None:
    """Adds the gradient by a prepared state to that of the inputs ``(F, A, B)``.

    Args:
        plan: The preparation.
        trace: What :func:`prepare` kept.
        mu: ``(2**n, A, B)`` with ``dL = 2 Re(mu . dpsi)``.
        inputs: Added to in place.
    """
    state, gradient = trace.amplitudes, 2 * mu.real[plan.places]
    gradient -= state * (state * gradient).sum(0)
    gradient *= plan.factor.astype(gradient.dtype)
    gradient /= trace.norm
    target, part = plan.feature[plan.varied], gradient[plan.varied]
    if plan.repeats:
        np.add.at(inputs, target, part)
    else:
        inputs[target] += part
