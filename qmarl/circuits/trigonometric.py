"""Frozen circuits that take each input once: one linear map of products of 1, cosine and sine.

With the real product state ``r`` of the data layer, every output is a quadratic form ``r^T Q_k r``.
On each wire ``r_i r_j`` of ``r = (cos(t / 2), sin(t / 2))`` is linear in ``(1, cos t, sin t)``, so
that the outputs are a matrix of ``3**n`` columns times the products of these over the wires.
"""

from __future__ import annotations

from functools import cache
from typing import final

import numpy as np

from qmarl.circuits.data_layers import BoundSlot, vector_kronecker
from qmarl.circuits.plan import Readout
from qmarl.types import Array


def pays(qubits: int, outputs: int) -> bool:
    """Whether the map takes fewer products than a state: ``3**n K`` against ``2 (4**n + 2**n K)``.

    >>> pays(4, 4), pays(4, 16)
    (True, False)
    """
    return bool(3**qubits * outputs <= 2 * (4**qubits + 2**qubits * outputs))


@final
class TrigonometricForm:
    """Outputs of a frozen circuit with one data layer.

    Args:
        slot: The data layer under the weights.
        matrix: ``(A or 1, D, D)`` takes ``r`` to the measured state, complex.
        readout: What is measured.
        dtype: Real working precision; the map is built in double precision.
    """

    def __init__(self, slot: BoundSlot, matrix: Array, readout: Readout, dtype: np.dtype) -> None:
        offset = slot.half_offset
        self._feature, self._slope = slot.slot.feature[0], slot.slope[0]
        self._offset = None if offset is None else 2 * offset[0]
        forms = quadratic_forms(matrix, readout)
        table = wire_products(len(self._feature)).reshape(-1, 3 ** len(self._feature))
        columns = forms.reshape(*forms.shape[:2], -1) @ table
        self._columns = np.ascontiguousarray(columns.swapaxes(1, 2).astype(dtype))

    def __call__(self, features: Array) -> Array:
        """Outputs ``(A, B, outputs)`` for features ``(F, A, B)``."""
        angle = features.take(self._feature, 0)
        angle *= self._slope
        if self._offset is not None:
            angle += self._offset
        factors = np.empty((len(angle), 3, *angle.shape[1:]), angle.dtype)
        factors[:, 0] = 1
        np.cos(angle, out=factors[:, 1])
        np.sin(angle, out=factors[:, 2])
        products = vector_kronecker(factors)
        return np.asarray(products.transpose(1, 2, 0) @ self._columns)


def quadratic_forms(matrix: Array, readout: Readout) -> Array:
    """``Q_k = Re(T^dag O_k T)``: ``(A, outputs, D, D)`` for a matrix ``T`` ``(A, D, D)``."""
    measured = readout.diagonal[:, :, None] * matrix[:, None]
    for flips, entries in zip(readout.flips, readout.matrices, strict=True):
        flipped = matrix[:, np.arange(matrix.shape[-1]) ^ flips]
        measured = measured + entries[:, :, None] * flipped[:, None]
    return np.asarray((matrix.conj().swapaxes(-1, -2)[:, None] @ measured).real)


@cache  # the same few constants for every circuit
def wire_products(qubits: int) -> Array:
    """``(D, D, 3**n)``: ``r_i r_j`` as a sum of products of ``(1, cos t, sin t)`` of each wire."""
    one = np.array([[[0.5, 0.5, 0.0], [0.0, 0.0, 0.5]], [[0.0, 0.0, 0.5], [0.5, -0.5, 0.0]]])
    result = one
    for _ in range(qubits - 1):
        result = np.kron(result, one)
    result.flags.writeable = False
    return result
