"""Runs layered plans: data layers wire by wire, free layers by groups of wires."""

from __future__ import annotations

from typing import NamedTuple, final

import numpy as np

from qmarl.circuits.data_layers import (
    Turn,
    add_slot_gradient,
    angle_gradient,
    apply_layer,
    bind_slot,
    bloch_vectors,
    first_columns,
    full_matrices,
    product_state,
    turn,
    turn_back,
)
from qmarl.circuits.measurement import (
    Normalised,
    cast_readout,
    measure,
    measured_gradient,
    normalised,
    pull_normalised,
    wire_signs,
    with_norm,
)
from qmarl.circuits.plan import PRECISIONS, FreeLayer, LayeredPlan, Run
from qmarl.circuits.prepared import PreparedTrace, prepare, pull_prepared
from qmarl.circuits.runs import (
    Kronecker,
    add_layer_gradient,
    backward_run,
    forward_run,
    layer_matrices,
)
from qmarl.circuits.su2 import FRAME, bind_chains, bloch_rotation, pull_chains
from qmarl.types import Array


class BoundLink(NamedTuple):
    """The free chains at one place of all data layers' wires.

    Attributes:
        numbers: ``(L, n)`` chain.
        matrices: ``(2, 2, L, n, A, 1)`` in the working precision.
        rotations: ``(L, n, A, 3, 3)`` transposed Bloch rotations, in the working precision.
    """

    numbers: Array
    matrices: Array
    rotations: Array


class Trace(NamedTuple):
    """What the backward pass wants of the forward pass of one chunk.

    Attributes:
        features: ``(F, A, B)``.
        turns: Half-angle cosines and sines of each slot.
        unitaries: ``(L, n, 2, 2, A, B)``.
        states: ``(L, 2**n, A, B)`` after each data layer.
        run_states: States inside each run.
        final: ``(2**n, A, B)`` that was measured.
        measured: Its outputs.
        prepared: Of a state made of inputs, else None.
    """

    features: Array
    turns: tuple[Turn, ...]
    unitaries: Array
    states: Array
    run_states: tuple[tuple[Array, ...], ...]
    final: Array
    measured: Normalised
    prepared: PreparedTrace | None


class Sums(NamedTuple):
    """Sums over chunks.

    Attributes:
        weights: ``(P, A)`` float64, gradient of the data rotations' scalings.
        chains: ``(3, K, A)`` float64, gradient vector of every free chain.
        start: ``(2**n, A, 1)`` complex128, ``mu`` before the first data layer.
    """

    weights: Array
    chains: Array
    start: Array


@final
class LayeredBound:
    """A layered plan under given weights.

    Args:
        plan: The plan.
        weights: ``(A, P)`` flat weights, float64.
        dtype: Real working precision.
    """

    def __init__(self, plan: LayeredPlan, weights: Array, dtype: np.dtype) -> None:
        work = PRECISIONS[dtype]
        self.plan, self.dtype, self.agents = plan, dtype, len(weights)
        self._chains = bind_chains(plan.chains, weights)
        products = self._chains.products
        self._initial = _kronecker(plan.initial, products, products.dtype)
        zero = np.zeros((2**plan.qubits, self.agents, 1), complex)
        zero[0] = 1.0
        start, self._initial_states = forward_run(plan.initial, self._initial, zero)
        self._start = start.astype(work)
        self._readout = cast_readout(with_norm(plan.readout), dtype, work)
        self._slots = [bind_slot(slot, weights, dtype) for slot in plan.data.slots]
        self._links = [_bind_link(products, link, dtype, work) for link in plan.data.links]
        self._trains_data = any(slot.trained is not None for slot in plan.data.slots) or any(
            link is not None for link in self._links[:-1]
        )
        self._runs = [_kronecker(run, products, work) for run in plan.runs]

    def forward(self, features: Array) -> tuple[Array, Trace]:
        """Outputs ``(A, B, outputs)`` for features ``(F, A, B)``, and the trace."""
        turns = tuple(turn(slot, features) for slot in self._slots)
        links = [None if link is None else link.matrices for link in self._links]
        unitaries = full_matrices(first_columns(self._slots, turns, links))
        psi, prepared = self._start, None
        if self.plan.prepared is not None:
            psi, prepared = prepare(self.plan.prepared, features)
        states = np.empty((len(self._runs), len(psi), *features.shape[1:]), psi.dtype)
        inside = []
        for k, run in enumerate(self._runs):
            states[k] = self._data_layer(unitaries[k], k, psi)
            psi, after = forward_run(self.plan.runs[k], run, states[k])
            inside.append(after)
        measured = normalised(measure(self._readout, psi))
        kept = tuple(inside)
        trace = Trace(features, turns, unitaries, states, kept, psi, measured, prepared)
        return measured.values, trace

    def _data_layer(self, unitaries: Array, k: int, psi: Array) -> Array:
        if k == 0 and not self.plan.initial and self.plan.prepared is None:
            return product_state(unitaries[:, :, 0])
        return apply_layer(unitaries, self.plan.data.wires[k], psi)

    def evaluate(self, features: Array) -> Array:
        """Outputs of :meth:`forward` alone."""
        return self.forward(features)[0]

    def sums(self) -> Sums:
        """Zeros for :meth:`backward` to add to."""
        return Sums(
            np.zeros((self.plan.n_weights, self.agents)),
            np.zeros((3, len(self._chains.products), self.agents)),
            np.zeros((2**self.plan.qubits, self.agents, 1), complex),
        )

    def backward(self, trace: Trace, gradient: Array, sums: Sums, inputs: Array | None) -> None:
        """Adds one chunk's gradient to ``sums`` and to that of its inputs ``(F, A, B)``."""
        pulled = pull_normalised(trace.measured, gradient)
        mu = measured_gradient(self._readout, trace.final, pulled)
        wanted = self._trains_data or inputs is not None
        mus = np.empty_like(trace.states) if wanted else None
        for k in range(len(self._runs) - 1, -1, -1):
            run, psi, inside = self.plan.runs[k], trace.states[k], trace.run_states[k]
            mu = backward_run(run, self._runs[k], inside, mu, sums.chains)
            if mus is None:
                add_layer_gradient(self.plan.data.ends[k], psi, mu, sums.chains)
            else:
                mus[k] = mu
            if k or self._initial or trace.prepared is not None:
                transposed = trace.unitaries[k].swapaxes(1, 2)
                mu = apply_layer(transposed, self.plan.data.wires[k], mu)
        if self._initial:
            sums.start[...] += mu.sum(-1, keepdims=True)
        if self.plan.prepared is not None and trace.prepared is not None and inputs is not None:
            pull_prepared(self.plan.prepared, trace.prepared, mu, inputs)
        if mus is not None:
            signs = wire_signs(self.plan.qubits).astype(self.dtype)
            self._pull_slots(trace, bloch_vectors(trace.states, mus, signs), sums, inputs)

    def _pull_slots(self, trace: Trace, vectors: Array, sums: Sums, inputs: Array | None) -> None:
        """Turns gradient vectors ``(3, L, n, A, B)`` back through the chains, slot by slot."""
        for k in range(len(self._slots) - 1, -1, -1):
            vectors = _pull_link(self._links[k + 1], vectors, sums.chains)
            slot = self._slots[k]
            angles = angle_gradient(slot.slot, vectors)
            add_slot_gradient(slot, angles, trace.features, sums.weights, inputs)
            if k or self._links[0] is not None:
                vectors = turn_back(slot.slot, trace.turns[k], vectors)
        _pull_link(self._links[0], vectors, sums.chains)

    def finish(self, sums: Sums) -> Array:
        """Gradient ``(A, P)`` float64 of the flat weights."""
        plan = self.plan
        if self._initial:
            states = self._initial_states
            backward_run(plan.initial, self._initial, states, sums.start, sums.chains)
        free = pull_chains(plan.chains, self._chains, sums.chains.transpose(1, 2, 0) @ FRAME)
        return np.asarray(sums.weights.T + free)


def _kronecker(run: Run, products: Array, dtype: np.dtype) -> Kronecker:
    return {
        place: tuple(matrix.astype(dtype) for matrix in layer_matrices(step, products))
        for place, step in enumerate(run)
        if isinstance(step, FreeLayer)
    }


def _bind_link(products: Array, numbers: Array, real: np.dtype, work: np.dtype) -> BoundLink | None:
    if not numbers.any():
        return None
    unitary = products[numbers]
    return BoundLink(
        numbers,
        np.moveaxis(unitary, (-2, -1), (0, 1))[..., None].astype(work),
        bloch_rotation(unitary).swapaxes(-1, -2).astype(real),
    )


def _pull_link(link: BoundLink | None, vectors: Array, chains: Array) -> Array:
    if link is None:
        return vectors
    chains[:, link.numbers] += vectors.sum(-1)  # every chain stands at one place, but for chain 0
    result = np.empty_like(vectors)
    source, target = (part.transpose(1, 2, 3, 0, 4) for part in (vectors, result))
    np.matmul(link.rotations, source, out=target)
    return result
