"""Initialisations: how the angles of a new circuit are drawn, so that its gradients are not flat.

Where angles are drawn uniformly from all angles, deep and wide circuits start on a barren plateau
(McClean et al. 2018, arXiv:1803.11173); the other initialisations keep them away from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from qmarl.errors import ConfigurationError
from qmarl.types import Array

Initialisation = Literal["normal", "small_angle", "uniform", "identity_block"]

Draw = Callable[[tuple[int, ...], float, "np.random.Generator"], Array]  # quoted: loads no random
"""``draw(shape, spread, rng)`` gives angles [rad], the layers on the first axis."""


def normal(shape: tuple[int, ...], spread: float, rng: np.random.Generator) -> Array:
    """Normal angles with standard deviation ``spread``, whatever the depth."""
    return np.asarray(spread * rng.standard_normal(shape))


def small_angle(shape: tuple[int, ...], spread: float, rng: np.random.Generator) -> Array:
    """Normal angles with standard deviation ``spread / sqrt(layers)``.

    The variance falls with the depth as in Zhang et al. 2022 (arXiv:2203.09376, theorem 4.1), so
    that all layers together stay as close to the identity as one layer is.
    """
    return normal(shape, spread / math.sqrt(shape[0]), rng)


def uniform(shape: tuple[int, ...], spread: float, rng: np.random.Generator) -> Array:
    """Any angle in [-pi, pi), each as likely; ``spread`` is not used."""
    del spread
    return rng.uniform(-math.pi, math.pi, shape)


def identity_block(shape: tuple[int, ...], spread: float, rng: np.random.Generator) -> Array:
    """Angles of a ``hardware_efficient`` ansatz whose pairs of layers are the identity.

    After Grant et al. 2019 (arXiv:1903.05076): each block is a random circuit and its inverse. Here
    block ``k`` is ``A_k``, a ring of CZ, ``RZ(z) RZ(-z)``, the ring again (its own inverse) and
    ``A_k^-1``, with ``A_k`` and ``z`` uniformly random on each qubit. One column of rotations ends
    a block and begins the next: it is ``A_(k+1) A_k^-1``, and the closing column is the last
    ``A_k^-1``.

    Args:
        shape: ``(layers + 1, qubits, 3)`` with an even number of layers.
        spread: Not used.
        rng: Source of the random angles.

    Returns:
        Angles in [-pi, pi].
    """
    del spread
    from scipy.spatial.transform import Rotation  # type: ignore[import-untyped] # it has no stubs

    columns, qubits, _ = shape
    angles = np.zeros(shape)
    undo = Rotation.identity(qubits)
    for column in range(0, columns - 1, 2):
        block = Rotation.from_euler("zyz", rng.uniform(-math.pi, math.pi, (qubits, 3)))
        angles[column] = (block * undo).as_euler("zyz")
        turn = rng.uniform(-math.pi, math.pi, qubits)
        angles[column + 1, :, 0], angles[column + 1, :, 2] = turn, -turn
        undo = block.inv()
    angles[-1] = undo.as_euler("zyx")
    return angles


def inverse_pairs(shape: tuple[int, ...], spread: float, rng: np.random.Generator) -> Array:
    """Angles whose every second layer undoes the one before.

    For layers whose entangling gates undo themselves: none on one qubit, and the single CNOT of a
    ``basic_entangler`` on two. There, a rotation of the target commutes with the CNOT; that of the
    control does not, and is zero.

    Args:
        shape: ``(layers, qubits)`` or ``(layers, 1, 3)`` with an even number of layers.
        spread: Not used.
        rng: Source of the random angles.

    Returns:
        Angles in [-pi, pi].
    """
    del spread
    angles = np.zeros(shape)
    block = rng.uniform(-math.pi, math.pi, (shape[0] // 2, *shape[2:]))
    angles[::2, -1] = block
    angles[1::2, -1] = -block[..., ::-1] if block.ndim == 2 else -block
    return angles


INITIALISATIONS: dict[str, Draw] = {
    "normal": normal,
    "small_angle": small_angle,
    "uniform": uniform,
    "identity_block": identity_block,
}
"""Every initialisation by its name in the configuration."""

WIDEST = {"hardware_efficient": math.inf, "basic_entangler": 2, "strongly_entangling": 1}
"""Up to how many qubits the entangling gates of an ansatz's layer undo themselves."""


def identity_block_problem(ansatz: str, qubits: int, layers: int, *, reupload: bool) -> str | None:
    """Says why the layers of a circuit cannot undo each other in pairs, None where they can.

    Args:
        ansatz: Name of the ansatz.
        qubits: Number of qubits.
        layers: Number of its layers.
        reupload: Whether the data enter between the layers.
    """
    if qubits > WIDEST[ansatz]:
        return (
            f"the rings of CNOTs of '{ansatz}' do not undo themselves on {qubits} qubits; use "
            "'hardware_efficient', or 'small_angle' with this one"
        )
    if reupload:
        return "with reupload the data stand between the layers; use 'small_angle'"
    if layers % 2:
        return f"layers undo each other in pairs, but there are {layers}; use an even number"
    return None


def check_identity_block(ansatz: str, qubits: int, layers: int, *, reupload: bool) -> None:
    """Refuses circuits whose layers cannot undo each other in pairs.

    Raises:
        ConfigurationError: They cannot; the text says why.
    """
    problem = identity_block_problem(ansatz, qubits, layers, reupload=reupload)
    if problem:
        raise ConfigurationError(f"circuit.ansatz.initialisation: 'identity_block': {problem}")
