"""Expectation values of a state and their gradient, for any observables."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from qmarl.circuits.gates import Observable, PauliWord, Projection
from qmarl.circuits.plan import Readout
from qmarl.types import Array


def lower_readout(outputs: Sequence[Observable], qubits: int) -> Readout:
    """Writes measured quantities as arrays."""
    size = 2**qubits
    diagonal = np.zeros((len(outputs), size))
    rest: dict[int, Array] = {}
    for row, observable in enumerate(outputs):
        for term in observable:
            if isinstance(term, Projection):
                diagonal[row] += (np.arange(size) & term.mask) == term.bits
            elif term.flips:
                matrix = rest.setdefault(term.flips, np.zeros((len(outputs), size), complex))
                matrix[row] += _word(term, size)
            else:
                diagonal[row] += _word(term, size).real
    return Readout(diagonal, tuple(rest), tuple(rest.values()))


def _word(term: PauliWord, size: int) -> Array:
    """Entries ``O[i, i ^ flips]`` of a Pauli word."""
    index = np.arange(size) ^ term.flips
    parity = np.bitwise_count(index & term.signs) & 1
    factor = term.coefficient * 1j ** (term.flips & term.signs).bit_count()
    return np.asarray(factor * (1 - 2.0 * parity))


class Normalised(NamedTuple):
    """Expectation values of a state divided by its squared norm.

    Every rounded gate moves the norm a little from 1; what is divided by it does not drift with the
    number of gates.

    Attributes:
        values: ``(A, B, outputs)``.
        norm: ``(A, B, 1)`` squared norm.
    """

    values: Array
    norm: Array


def with_norm(readout: Readout) -> Readout:
    """The same with the identity as last observable, whose value is the squared norm."""
    ones = np.ones_like(readout.diagonal[:1])
    matrices = tuple(np.pad(matrix, ((0, 1), (0, 0))) for matrix in readout.matrices)
    return Readout(np.concatenate([readout.diagonal, ones]), readout.flips, matrices)


def normalised(measured: Array) -> Normalised:
    """Divides what :func:`measure` gives of a readout :func:`with_norm`."""
    norm = measured[..., -1:]
    return Normalised(measured[..., :-1] / norm, norm)


def pull_normalised(measured: Normalised, gradient: Array) -> Array:
    """Gradient ``(A, B, outputs + 1)`` by what was divided, for ``(A, B, outputs)`` after it."""
    result = np.empty((*gradient.shape[:-1], gradient.shape[-1] + 1), measured.norm.dtype)
    result[..., :-1] = gradient
    result[..., -1] = -np.einsum("abk,abk->ab", gradient, measured.values)
    result /= measured.norm
    return result


def cast_readout(readout: Readout, real: np.dtype, work: np.dtype) -> Readout:
    """The same in the real and complex working precision."""
    return Readout(
        readout.diagonal.astype(real, copy=False),
        readout.flips,
        tuple(matrix.astype(work) for matrix in readout.matrices),
    )


def measure(readout: Readout, psi: Array) -> Array:
    """Expectation values ``(A, B, outputs)`` of a state ``(2**n, A, B)``."""
    size, agents, batch = psi.shape
    parts = psi.reshape(size, -1).view(psi.real.dtype)
    squares = readout.diagonal @ (parts * parts)
    flat = squares[:, ::2] + squares[:, 1::2]
    for flips, matrix in zip(readout.flips, readout.matrices, strict=True):
        crossed = psi.conj() * psi[np.arange(size) ^ flips]
        flat += (matrix @ crossed.reshape(size, -1)).real
    return np.ascontiguousarray(flat.T).reshape(agents, batch, -1)


def measured_gradient(readout: Readout, psi: Array, gradient: Array) -> Array:
    """``mu = conj(sum_k g_k O_k psi)`` for output gradients ``(A, B, outputs)``."""
    flat = gradient.reshape(-1, gradient.shape[-1]).T
    weight, mu = (readout.diagonal.T @ flat).reshape(psi.shape), np.empty_like(psi)
    np.multiply(weight, psi.real, out=mu.real)
    np.multiply(np.negative(weight, out=weight), psi.imag, out=mu.imag)
    if not readout.flips:
        return mu
    conjugate = psi.conj()
    for flips, matrix in zip(readout.flips, readout.matrices, strict=True):
        weight = (matrix.conj().T @ flat).reshape(psi.shape)
        mu += weight * conjugate[np.arange(len(psi)) ^ flips]
    return mu


def wire_signs(qubits: int) -> Array:
    """Eigenvalues ``(n, 2**n)`` of Z on each wire."""
    bits = np.arange(2**qubits) >> np.arange(qubits - 1, -1, -1)[:, None]
    return np.asarray(1.0 - 2.0 * (bits & 1))


@cache  # the same few constants for every circuit
def bloch_reader(qubits: int) -> Array:
    """``(2 * 4**n, 3 * n)``: reads the gradient vectors of ``n`` wires off ``N = sum psi mu^T``.

    ``N`` is given as pairs of real and imaginary parts.
    ``g_Z = sum_i z_i Im N_ii``, ``g_X = sum_i Im N_(i xor q) i``, ``g_Y = -sum_i z_i Re N_(i xor q)
    i`` with the eigenvalues ``z`` of Z on the wire of bit ``q``.
    """
    size = 2**qubits
    index, signs = np.arange(size), wire_signs(qubits)
    result = np.zeros((size, size, 2, qubits, 3))
    for wire in range(qubits):
        flipped = index ^ (1 << (qubits - 1 - wire))
        result[flipped, index, 1, wire, 0] = 1.0
        result[flipped, index, 0, wire, 1] = -signs[wire]
        result[index, index, 1, wire, 2] = signs[wire]
    result.flags.writeable = False
    return result.reshape(-1, 3 * qubits)
