"""Runs a plan on NumPy arrays: the state, the outputs, and the adjoint written by hand.

Everything that depends on the weights alone is built once, in float64, by :func:`bind`; samples
then run in the working precision, in chunks that stay in the processor's cache. All arrays carry
the agents as an axis of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from qmarl.circuits.data_layers import (
    BoundSlot,
    Turn,
    angle_gradient,
    apply_layer,
    bind_slot,
    bloch_vectors,
    diagonal_gradient,
    first_columns,
    full_matrices,
    phases,
    product_state,
    turn,
    turn_back,
)
from qmarl.circuits.plan import FreeLayer, Plan, Run
from qmarl.circuits.runs import (
    DenseRun,
    Kronecker,
    apply_dense,
    backward_run,
    dense_run,
    forward_run,
    layer_matrices,
    pull_dense,
)
from qmarl.circuits.su2 import BoundChains, bind_chains, bloch_rotation, pull_chains
from qmarl.types import Array

DENSE_QUBITS = 7
"""Up to here a run of free layers is fused to one matrix when the batch pays for it."""

CHUNK = 1 << 15
"""Amplitudes of one state that are worked on together: 256 KiB in complex64."""


class BoundRun(NamedTuple):
    """A run under given weights: its layers' matrices, and the fused matrix where that pays."""

    steps: Run
    kron: Kronecker
    dense: DenseRun | None


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


@final
@dataclass(frozen=True, eq=False)
class Bound:
    """A plan under given weights.

    Attributes:
        plan: The plan.
        dtype: Real working precision.
        agents: Length of the agent axis.
        chains: Every free product.
        slots: Data rotations.
        distinct: Those of distinct layers, where layers are diagonal.
        links: Free products between them, None where all are identities.
        initial: The run before the first data layer.
        initial_states: States that its gradient wants.
        start: ``(2**n, A, 1)`` state before the first data layer.
        runs: Run after each data layer.
    """

    plan: Plan
    dtype: np.dtype
    agents: int
    chains: BoundChains
    slots: tuple[BoundSlot, ...]
    distinct: tuple[BoundSlot, ...]
    links: tuple[BoundLink | None, ...]
    initial: BoundRun
    initial_states: tuple[Array, ...]
    start: Array
    runs: tuple[BoundRun, ...]


class Trace(NamedTuple):
    """What the backward pass wants of the forward pass of one chunk.

    Attributes:
        features: ``(F, A, B)``.
        turns: Half-angle cosines and sines of each slot.
        unitaries: ``(L, n, 2, 2, A, B)``; of diagonal layers the diagonals ``(U, 2**n, A, B)``.
        states: ``(L, 2**n, A, B)`` after each data layer.
        run_states: States inside each run that was not fused.
        final: ``(2**n, A, B)`` that was measured.
    """

    features: Array
    turns: tuple[Turn, ...]
    unitaries: Array
    states: Array
    run_states: tuple[tuple[Array, ...], ...]
    final: Array


class Gradients(NamedTuple):
    """Sums over chunks.

    Attributes:
        weights: ``(P, A)`` float64, of the data rotations' scalings.
        chains: ``(3, K, A)`` float64, gradient vector of every free chain.
        start: ``(2**n, A, 1)`` complex128, ``mu`` before the first data layer.
    """

    weights: Array
    chains: Array
    start: Array


def bind(plan: Plan, weights: Array, batch: int, dtype: npt.DTypeLike) -> Bound:
    """Builds everything that depends on the weights alone.

    Args:
        plan: The plan.
        weights: ``(A, P)`` flat weights.
        batch: Samples per agent that are to come; large batches pay for fused runs.
        dtype: float32 or float64.
    """
    real = np.dtype(dtype)
    work = np.dtype(np.complex64 if real == np.float32 else np.complex128)
    weights = weights.astype(np.float64)
    chains = bind_chains(plan.chains, weights)
    initial = BoundRun(plan.initial, _kronecker(plan.initial, chains.products), None)
    zero = np.zeros((2**plan.qubits, len(weights), 1), complex)
    zero[0] = 1.0
    start, states = forward_run(initial.steps, initial.kron, zero)
    return Bound(
        plan=plan,
        dtype=real,
        agents=len(weights),
        chains=chains,
        slots=tuple(bind_slot(slot, weights, real) for slot in plan.data.slots),
        distinct=tuple(bind_slot(slot, weights, real) for slot in plan.data.distinct),
        links=tuple(_link(chains.products, numbers, real, work) for numbers in plan.data.links),
        initial=initial,
        initial_states=states,
        start=start.astype(work),
        runs=tuple(_bind_run(run, chains.products, plan.qubits, batch, work) for run in plan.runs),
    )


def _kronecker(run: Run, products: Array) -> Kronecker:
    return {
        place: layer_matrices(step, products)
        for place, step in enumerate(run)
        if isinstance(step, FreeLayer)
    }


def _bind_run(run: Run, products: Array, qubits: int, batch: int, work: np.dtype) -> BoundRun:
    kron = _kronecker(run, products)
    if kron and qubits <= DENSE_QUBITS and batch > 2**qubits:
        return BoundRun(run, kron, dense_run(run, kron, qubits, products.shape[1], work))
    cast = {place: tuple(m.astype(work) for m in group) for place, group in kron.items()}
    return BoundRun(run, cast, None)


def _link(products: Array, numbers: Array, real: np.dtype, work: np.dtype) -> BoundLink | None:
    if not numbers.any():
        return None
    unitary = products[numbers]
    return BoundLink(
        numbers,
        np.moveaxis(unitary, (-2, -1), (0, 1))[..., None].astype(work),
        bloch_rotation(unitary).swapaxes(-1, -2).astype(real),
    )


def forward(bound: Bound, inputs: Array) -> tuple[Array, list[Trace]]:
    """Evaluates the circuit.

    Args:
        bound: The plan under its weights.
        inputs: ``(A, B, F)`` in the working precision.

    Returns:
        Outputs ``(A, B, outputs)`` and the traces that :func:`backward` wants.
    """
    agents, batch, _ = inputs.shape
    step = max(1, CHUNK // (2**bound.plan.qubits * agents))
    if step >= batch:
        outputs, trace = _forward_chunk(bound, inputs)
        return outputs, [trace]
    outputs = np.empty((agents, batch, len(bound.plan.readout.diagonal)), bound.dtype)
    traces = []
    for first in range(0, batch, step):
        outputs[:, first : first + step], trace = _forward_chunk(
            bound, inputs[:, first : first + step]
        )
        traces.append(trace)
    return outputs, traces


def _forward_chunk(bound: Bound, inputs: Array) -> tuple[Array, Trace]:
    features = np.ascontiguousarray(np.moveaxis(inputs, -1, 0))
    turns, unitaries = _data_unitaries(bound, features)
    psi = bound.start
    states = np.empty((len(bound.runs), len(psi), *features.shape[1:]), psi.dtype)
    inside = []
    for k, run in enumerate(bound.runs):
        states[k] = _data_layer(bound, unitaries, k, psi)
        psi, kept = _apply_run(run, states[k])
        inside.append(kept)
    trace = Trace(features, turns, unitaries, states, tuple(inside), psi)
    return _measure(bound, psi), trace


def _data_unitaries(bound: Bound, features: Array) -> tuple[tuple[Turn, ...], Array]:
    if bound.plan.data.diagonal:
        return (), phases(bound.distinct[0], features)
    turns = tuple(turn(slot, features) for slot in bound.slots)
    links = [None if link is None else link.matrices for link in bound.links]
    return turns, full_matrices(first_columns(bound.slots, turns, links))


def _data_layer(bound: Bound, unitaries: Array, k: int, psi: Array) -> Array:
    data = bound.plan.data
    if data.diagonal:
        return np.asarray(unitaries[data.rows[k]] * psi)
    if k == 0 and not bound.plan.initial:
        return product_state(unitaries[0, :, :, 0])
    return apply_layer(unitaries[k], data.wires[k], psi)


def _apply_run(run: BoundRun, psi: Array) -> tuple[Array, tuple[Array, ...]]:
    if run.dense is not None:
        return apply_dense(run.dense.matrix, psi), ()
    return forward_run(run.steps, run.kron, psi)


def _measure(bound: Bound, psi: Array) -> Array:
    """Expectation values ``(A, B, outputs)`` of a state ``(2**n, A, B)``."""
    readout = bound.plan.readout
    size, agents, batch = psi.shape
    probabilities = psi.real * psi.real
    probabilities += psi.imag * psi.imag
    flat = readout.diagonal.astype(bound.dtype) @ probabilities.reshape(size, -1)
    for flips, matrix in zip(readout.flips, readout.matrices, strict=True):
        crossed = psi.conj() * psi[np.arange(size) ^ flips]
        flat += (matrix.astype(psi.dtype) @ crossed.reshape(size, -1)).real
    return np.ascontiguousarray(flat.T).reshape(agents, batch, -1)


def backward(
    bound: Bound, traces: list[Trace], gradient: Array, *, need_inputs: bool
) -> tuple[Array | None, Array]:
    """Pulls the gradient of the outputs back to inputs and weights.

    Args:
        bound: The plan under its weights.
        traces: What :func:`forward` kept.
        gradient: ``(A, B, outputs)``.
        need_inputs: Whether the inputs' gradient is wanted.

    Returns:
        Gradients of the inputs ``(A, B, F)`` or None, and of the flat weights ``(A, P)`` float64.
    """
    plan = bound.plan
    sums = Gradients(
        np.zeros((plan.n_weights, bound.agents)),
        np.zeros((3, len(bound.chains.products), bound.agents)),
        np.zeros((2**plan.qubits, bound.agents, 1), complex),
    )
    pulled, first = [], 0
    for trace in traces:
        stop = first + trace.features.shape[-1]
        pulled.append(_backward_chunk(bound, trace, gradient[:, first:stop], sums, need_inputs))
        first = stop
    steps, kron, _ = bound.initial
    if kron:
        backward_run(steps, kron, bound.initial_states, sums.start, sums.chains)
    weights = sums.weights.T + pull_chains(plan.chains, bound.chains, sums.chains, plan.n_weights)
    inputs = [np.moveaxis(part, 0, -1) for part in pulled if part is not None]
    return (np.concatenate(inputs, 1) if inputs else None), weights


def _backward_chunk(
    bound: Bound, trace: Trace, gradient: Array, sums: Gradients, need_inputs: bool
) -> Array | None:
    """Adds one chunk's share to ``sums``; returns its inputs' gradient ``(F, A, B)`` if wanted."""
    mu = _measured_gradient(bound, trace.final, gradient)
    mus = np.empty_like(trace.states)
    for k in range(len(bound.runs) - 1, -1, -1):
        mus[k] = _pull_run(bound.runs[k], trace.states[k], trace.run_states[k], mu, sums.chains)
        if k or bound.initial.kron:
            mu = _pull_data_layer(bound, trace.unitaries, k, mus[k])
    if bound.initial.kron:
        sums.start[...] += mu.sum(-1, keepdims=True)
    signs = _signs(bound.plan.qubits).astype(bound.dtype)
    inputs = np.zeros(trace.features.shape, bound.dtype) if need_inputs else None
    if bound.plan.data.diagonal:
        derivative = diagonal_gradient(trace.states, mus, signs)
        _add_slot(bound.slots[0], derivative, trace.features, sums, inputs)
    else:
        _pull_slots(bound, trace, bloch_vectors(trace.states, mus, signs), sums, inputs)
    return inputs


def _pull_data_layer(bound: Bound, unitaries: Array, k: int, mu: Array) -> Array:
    data = bound.plan.data
    if data.diagonal:
        return np.asarray(unitaries[data.rows[k]] * mu)
    return apply_layer(unitaries[k].swapaxes(1, 2), data.wires[k], mu)


def _measured_gradient(bound: Bound, psi: Array, gradient: Array) -> Array:
    """``mu = conj(sum_k g_k O_k psi)`` for output gradients ``(A, B, outputs)``."""
    readout = bound.plan.readout
    flat = gradient.reshape(-1, gradient.shape[-1]).T
    conjugate = psi.conj()
    mu = (readout.diagonal.T.astype(bound.dtype) @ flat).reshape(psi.shape) * conjugate
    for flips, matrix in zip(readout.flips, readout.matrices, strict=True):
        weight = (matrix.conj().T.astype(psi.dtype) @ flat).reshape(psi.shape)
        mu += weight * conjugate[np.arange(len(psi)) ^ flips]
    return np.asarray(mu)


def _pull_run(
    run: BoundRun, psi: Array, states: tuple[Array, ...], mu: Array, chains: Array
) -> Array:
    if run.dense is not None:
        return pull_dense(run.steps, run.kron, run.dense, psi, mu, chains)
    return backward_run(run.steps, run.kron, states, mu, chains)


def _pull_slots(
    bound: Bound, trace: Trace, vectors: Array, sums: Gradients, inputs: Array | None
) -> None:
    """Turns gradient vectors ``(3, L, n, A, B)`` back through the chains, slot by slot."""
    for k in range(len(bound.slots) - 1, -1, -1):
        vectors = _pull_link(bound.links[k + 1], vectors, sums.chains)
        slot = bound.slots[k]
        _add_slot(slot, angle_gradient(slot.slot, vectors), trace.features, sums, inputs)
        if k or bound.links[0] is not None:
            vectors = turn_back(slot.slot, trace.turns[k], vectors)
    _pull_link(bound.links[0], vectors, sums.chains)


def _pull_link(link: BoundLink | None, vectors: Array, chains: Array) -> Array:
    if link is None:
        return vectors
    chains[:, link.numbers] += vectors.sum(-1)  # every chain stands at one place, but for chain 0
    result = np.empty_like(vectors)
    np.matmul(
        link.rotations,
        vectors.transpose(1, 2, 3, 0, 4),
        out=result.transpose(1, 2, 3, 0, 4),
    )
    return result


def _add_slot(
    bound: BoundSlot, derivative: Array, features: Array, sums: Gradients, inputs: Array | None
) -> None:
    """Adds the gradient of a slot's angles ``(L, n, A, B)`` to its scalings' and inputs'."""
    slot = bound.slot
    if slot.trained.any():
        summed = np.einsum("lnab,lnab->lna", derivative, features[slot.feature])
        scaled = summed[slot.trained] * slot.factor[slot.trained][:, None]
        np.add.at(sums.weights, slot.weight[slot.trained], scaled)
    if inputs is not None:
        np.add.at(inputs, slot.feature, derivative * bound.slope)


def _signs(qubits: int) -> Array:
    """Eigenvalues ``(n, 2**n)`` of Z on each wire."""
    bits = np.arange(2**qubits) >> np.arange(qubits - 1, -1, -1)[:, None]
    return np.asarray(1.0 - 2.0 * (bits & 1))
