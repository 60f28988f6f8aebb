"""Runs layered plans with torch on any of its devices; gradients are torch's own.

Free layers are matrices of groups of wires; data layers go wire by wire, one SU(2) matrix a sample.
States are ``(A, 2**n, B)``: agent, basis state, sample. What depends on the weights alone is built
in double precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
import torch

from qmarl.circuits.expressions import Expressions, Node
from qmarl.circuits.plan import Block, FreeLayer, LayeredPlan, Monomial, Run, Slot
from qmarl.circuits.su2 import Chains
from qmarl.errors import ConfigurationError
from qmarl.types import Array

WORK = {torch.float32: torch.complex64, torch.float64: torch.complex128}
"""Complex dtype that belongs to each real one."""


@final
class TorchExecutor:
    """A plan whose constants lie on one device, in one precision.

    Args:
        plan: The plan.
        device: Where it runs.
        real: float32 or float64, of inputs and outputs.

    Raises:
        ConfigurationError: It is another.
    """

    def __init__(self, plan: LayeredPlan, device: torch.device, real: torch.dtype) -> None:
        if real not in WORK:
            raise ConfigurationError(f"circuits run on float32 or float64, got inputs of {real}")
        self._plan, self._device, self._real, self._work = plan, device, real, WORK[real]
        self._links = [torch.from_numpy(link).to(device) for link in plan.data.links]
        self._kept: dict[int, torch.Tensor] = {}

    def __call__(self, inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Outputs ``(A, B, outputs)`` for inputs ``(A, B, F)`` and flat weights ``(A, P)``."""
        plan, features, flat = self._plan, inputs.movedim(-1, 0), weights.double()
        if plan.derived is not None:
            more = self._derived(plan.derived.features, features, flat.to(self._real))
            features = torch.cat([features, *(c.expand(features.shape[1:])[None] for c in more)])
            nothing = flat.new_empty(0, len(flat), 1)
            flat = torch.cat([flat, *self._derived(plan.derived.weights, nothing, flat)], -1)
        products = self._products(plan.chains, flat)
        columns = self._columns(products, features, flat)
        psi = self._start(features)
        psi = self._run(plan.initial, products, psi)
        for k, run in enumerate(plan.runs):
            for wire in plan.data.wires[k]:
                psi = _turn(columns[:, k, wire], wire, psi)
            psi = self._run(run, products, psi)
        return self._measure(psi)

    def _constant(self, array: Array, dtype: torch.dtype) -> torch.Tensor:
        """An array of the plan on the device; copied there once."""
        kept = self._kept.get(id(array))  # the plan keeps the array, so that its id stays its own
        if kept is None:
            kept = torch.from_numpy(np.ascontiguousarray(array)).to(self._device, dtype)
            self._kept[id(array)] = kept
        return kept

    def _derived(
        self, graph: Expressions, features: torch.Tensor, weights: torch.Tensor
    ) -> list[torch.Tensor]:
        """Values ``(A, B)`` or ``(A, 1)`` of the wanted nodes."""
        values: list[torch.Tensor] = []
        for node in graph.nodes:
            values.append(_value(node, values, features, weights))
        return [values[place] for place in graph.wanted]

    def _products(self, chains: Chains, weights: torch.Tensor) -> torch.Tensor:
        """Products ``(K, A, 2, 2)`` of all chains, complex128."""
        half = self._constant(chains.sums, torch.float64) @ weights.T
        terms = torch.cat([half.cos(), half.sin()]).reshape(chains.table.shape[1], -1, len(weights))
        table = self._constant(chains.table, torch.float64)[..., :8]
        parts = terms.permute(1, 2, 0) @ table
        return torch.view_as_complex(parts.reshape(*parts.shape[:2], 2, 2, 2))

    def _columns(
        self, products: torch.Tensor, features: torch.Tensor, weights: torch.Tensor
    ) -> torch.Tensor:
        """First columns ``(2, L, n, A, B)`` of the SU(2) matrix of every wire and data layer."""
        matrices = [products[link].to(self._work)[..., None] for link in self._links]
        column = list(matrices[0][..., 0, :].unbind(-2))
        for slot, matrix in zip(self._plan.data.slots, matrices[1:], strict=True):
            first, second = self._slot(slot, features, weights, column)
            column = [
                matrix[..., row, 0, :] * first + matrix[..., row, 1, :] * second for row in (0, 1)
            ]
        return torch.stack(column)

    def _slot(
        self,
        slot: Slot,
        features: torch.Tensor,
        weights: torch.Tensor,
        column: Sequence[torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rotates columns ``(L, n, A, B or 1)`` by a slot's angles."""
        slope = self._constant(slot.factor, torch.float64)[..., None]
        if slot.trained is not None:
            trained = self._constant(slot.trained, torch.bool)[..., None]
            scales = weights.T[self._constant(slot.weight, torch.int64)]
            slope = slope * torch.where(trained, scales, 1.0)
        half = features[self._constant(slot.feature, torch.int64)]
        half = half * (slope / 2).to(self._real)[..., None]
        offset = slot.coefficients[np.dtype(float)].half_offset
        if offset is not None:
            half = half + self._constant(offset, self._real)
        axis = self._constant(slot.axis, self._real)
        x, y, z = ((axis[..., k, None, None] * half.sin()) for k in range(3))
        a, b = torch.complex(half.cos(), -z), torch.complex(y, -x)
        return a * column[0] - b.conj() * column[1], b * column[0] + a.conj() * column[1]

    def _start(self, features: torch.Tensor) -> torch.Tensor:
        _, agents, batch = features.shape
        shape, prepared = (agents, 2**self._plan.qubits, batch), self._plan.prepared
        psi = torch.zeros(shape, dtype=self._work, device=self._device)
        if prepared is None:
            psi[:, 0] = 1
            return psi
        factor, offset = (self._constant(c, self._real) for c in (prepared.factor, prepared.offset))
        p = features[self._constant(prepared.feature, torch.int64)] * factor + offset
        p = p / p.detach().abs().amax(0)  # the squares neither overflow nor vanish
        p = (p / p.square().sum(0).sqrt()).swapaxes(0, 1)
        places = self._constant(prepared.places, torch.int64)
        return psi.index_copy(1, places, p.to(self._work))

    def _run(self, run: Run, products: torch.Tensor, psi: torch.Tensor) -> torch.Tensor:
        for step in run:
            if isinstance(step, FreeLayer):
                psi = self._free(step, products, psi)
            elif isinstance(step, Monomial):
                psi = self._monomial(step, psi)
            else:
                psi = self._block(step, psi)
        return psi

    def _free(self, layer: FreeLayer, products: torch.Tensor, psi: torch.Tensor) -> torch.Tensor:
        for wire, chains in layer.groups:
            matrix = _kronecker([products[chain] for chain in chains]).to(self._work)
            view = psi.reshape(len(psi), 2**wire, matrix.shape[-1], -1)
            psi = (matrix[:, None] @ view).reshape(psi.shape)
        return psi

    def _monomial(self, step: Monomial, psi: torch.Tensor) -> torch.Tensor:
        if step.order is not None:
            psi = psi.index_select(1, self._constant(step.order, torch.int64))
        if step.phase is not None:
            psi = psi * self._constant(step.phase, self._work)[:, 0]
        return psi

    def _block(self, step: Block, psi: torch.Tensor) -> torch.Tensor:
        source = [1 + wire for wire in step.wires]
        front = list(range(len(source)))
        qubits, (agents, _, batch) = self._plan.qubits, psi.shape
        moved = psi.reshape(agents, *[2] * qubits, batch).movedim(source, front)
        matrix = self._constant(step.matrix, self._work)
        product = (matrix @ moved.reshape(len(matrix), -1)).reshape(moved.shape)
        return product.movedim(front, source).reshape(psi.shape)

    def _measure(self, psi: torch.Tensor) -> torch.Tensor:
        readout = self._plan.readout
        squares = psi.real**2 + psi.imag**2
        values = self._constant(readout.diagonal, self._real) @ squares
        places = torch.arange(psi.shape[1], device=self._device)
        for flips, matrix in zip(readout.flips, readout.matrices, strict=True):
            crossed = psi.conj() * psi[:, places ^ flips]
            values = values + (self._constant(matrix, self._work) @ crossed).real
        norm = squares.sum(1, keepdim=True)  # 1 but for rounding, which grows with every gate
        return (values / norm).swapaxes(-1, -2)


def _turn(column: torch.Tensor, wire: int, psi: torch.Tensor) -> torch.Tensor:
    """Applies SU(2) matrices with first columns ``(2, A, B)`` to one wire of ``(A, 2**n, B)``."""
    agents, _, batch = psi.shape
    a, b = (part[:, None, None] for part in column)
    zero, one = psi.reshape(agents, 2**wire, 2, -1, batch).unbind(2)
    turned = torch.stack([a * zero - b.conj() * one, b * zero + a.conj() * one], 2)
    return turned.reshape(psi.shape)


def _kronecker(factors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Kronecker product of matrices ``(A, d_k, d_k)``, the first most significant."""
    result = factors[0]
    for factor in factors[1:]:
        size = result.shape[-1] * factor.shape[-1]
        product = result[:, :, None, :, None] * factor[:, None, :, None, :]
        result = product.reshape(-1, size, size)
    return result


def _value(
    node: Node, values: Sequence[torch.Tensor], features: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Value of one node; see :meth:`qmarl.circuits.expressions.Expressions.evaluate`."""
    if node.kind == "input":
        return features[node.source]
    if node.kind == "weight":
        return weights[:, node.source, None]
    if node.kind == "function":
        applied: torch.Tensor = getattr(torch, node.function)(values[node.source])
        return applied
    total = weights.new_zeros(len(weights), 1)
    for factor, members in node.terms:
        term = weights.new_full((), factor)
        for member in members:
            term = term * values[member]
        total = total + term
    return total
