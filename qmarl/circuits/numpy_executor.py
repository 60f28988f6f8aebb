"""Runs a plan on NumPy arrays: the state, the outputs, and the adjoint written by hand.

Everything that depends on the weights alone is built once, in float64, by :func:`bind`; samples
then run in the working precision. All arrays carry the agents as an axis of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from qmarl.circuits.data_layers import (
    BoundSlot,
    Turn,
    apply_layer,
    bloch_vectors,
    link_numbers,
    product_state,
    unitaries,
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
from qmarl.circuits.su2 import adjoint, chain_gradients, chain_products, matrices
from qmarl.types import Array

DENSE_QUBITS = 7
"""Up to here a run of free layers is fused to one matrix when the batch pays for it."""


class BoundRun(NamedTuple):
    """A run under given weights: its layers' matrices, and the fused matrix where that pays."""

    steps: Run
    kron: Kronecker
    dense: DenseRun | None


@final
@dataclass(frozen=True, eq=False)
class Bound:
    """A plan under given weights.

    Attributes:
        plan: The plan.
        dtype: Real working precision.
        agents: Length of the agent axis.
        angles: ``(c, K, A)`` angles of the chains.
        pairs: ``(K, A)`` pair of every chain, complex128.
        slots: Data rotations.
        links: Pairs ``(L, n, A, 1)`` between them, None where all are identities.
        initial: The run before the first data layer.
        initial_states: States that its gradient wants.
        start: ``(2**n, A, 1)`` state before the first data layer.
        runs: Run after each data layer.
    """

    plan: Plan
    dtype: np.dtype
    agents: int
    angles: Array
    pairs: tuple[Array, Array]
    slots: tuple[BoundSlot, ...]
    links: tuple[tuple[Array, Array] | None, ...]
    initial: BoundRun
    initial_states: tuple[Array, ...]
    start: Array
    runs: tuple[BoundRun, ...]


class Trace(NamedTuple):
    """What the backward pass wants of a forward pass.

    Attributes:
        features: ``(F, A, B)``.
        turns: Half-angle sines of each slot.
        unitaries: ``(L, n, 2, 2, A, B)``.
        states: State after each data layer.
        run_states: States inside each run that was not fused.
        final: State that was measured.
    """

    features: Array
    turns: tuple[Turn, ...]
    unitaries: Array
    states: tuple[Array, ...]
    run_states: tuple[tuple[Array, ...], ...]
    final: Array


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
    angles = plan.chains.angles(weights)
    pairs = chain_products(plan.chains, angles)
    products = matrices(*pairs)
    initial = BoundRun(plan.initial, _kronecker(plan.initial, products), None)
    zero = np.zeros((2**plan.qubits, len(weights), 1), complex)
    zero[0] = 1.0
    start, states = forward_run(initial.steps, initial.kron, zero)
    return Bound(
        plan=plan,
        dtype=real,
        agents=len(weights),
        angles=angles,
        pairs=pairs,
        slots=tuple(BoundSlot(slot, weights, real) for slot in plan.data.slots),
        links=tuple(_link(pairs, numbers, work) for numbers in link_numbers(plan.data)),
        initial=initial,
        initial_states=states,
        start=start.astype(work),
        runs=tuple(_bind_run(run, products, plan.qubits, batch, work) for run in plan.runs),
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


def _link(
    pairs: tuple[Array, Array], numbers: Array | None, work: np.dtype
) -> tuple[Array, Array] | None:
    if numbers is None:
        return None
    a, b = (part[numbers][..., None].astype(work) for part in pairs)
    return a, b


def forward(bound: Bound, inputs: Array) -> tuple[Array, Trace]:
    """Evaluates the circuit.

    Args:
        bound: The plan under its weights.
        inputs: ``(A, B, F)`` in the working precision.

    Returns:
        Outputs ``(A, B, outputs)`` and the trace that :func:`backward` wants.
    """
    features = np.ascontiguousarray(np.moveaxis(inputs, -1, 0))
    turns = tuple(slot.turn(features) for slot in bound.slots)
    chains = unitaries(bound.slots, turns, bound.links)
    psi, states, inside = bound.start, [], []
    for k, run in enumerate(bound.runs):
        psi = _data_layer(bound, chains[k], k, psi)
        states.append(psi)
        psi, kept = _apply_run(run, psi)
        inside.append(kept)
    trace = Trace(features, turns, chains, tuple(states), tuple(inside), psi)
    return measure(bound, psi), trace


def _data_layer(bound: Bound, chains: Array, k: int, psi: Array) -> Array:
    if k == 0 and not bound.plan.initial:
        return product_state(chains, *chains.shape[-2:])
    return apply_layer(chains, bound.plan.data.wires[k], psi)


def _apply_run(run: BoundRun, psi: Array) -> tuple[Array, tuple[Array, ...]]:
    if run.dense is not None:
        return apply_dense(run.dense.matrix, psi), ()
    return forward_run(run.steps, run.kron, psi)


def measure(bound: Bound, psi: Array) -> Array:
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


def backward(
    bound: Bound, trace: Trace, gradient: Array, *, need_inputs: bool
) -> tuple[Array | None, Array]:
    """Pulls the gradient of the outputs back to inputs and weights.

    Args:
        bound: The plan under its weights.
        trace: What :func:`forward` kept.
        gradient: ``(A, B, outputs)``.
        need_inputs: Whether the inputs' gradient is wanted.

    Returns:
        Gradients of the inputs ``(A, B, F)`` or None, and of the flat weights ``(A, P)`` float64.
    """
    plan = bound.plan
    free = np.zeros((3, *bound.pairs[0].shape))
    mu = _measured_gradient(bound, trace.final, gradient)
    vectors = np.zeros((3, *trace.unitaries.shape[:2], *mu.shape[1:]), bound.dtype)
    signs = _signs(plan.qubits).astype(bound.dtype)
    for k in range(len(bound.runs) - 1, -1, -1):
        mu = _pull_run(bound.runs[k], trace.states[k], trace.run_states[k], mu, free)
        bloch_vectors(trace.states[k], mu, plan.data.wires[k], signs, vectors[:, k])
        if k or bound.initial.kron:
            mu = apply_layer(trace.unitaries[k].swapaxes(1, 2), plan.data.wires[k], mu)
    if bound.initial.kron:
        mu = mu.sum(-1, keepdims=True).astype(complex)
        backward_run(bound.initial.steps, bound.initial.kron, bound.initial_states, mu, free)
    inputs, weights = _pull_chains(bound, trace, vectors, free, need_inputs=need_inputs)
    weights += plan.chains.scatter(chain_gradients(plan.chains, bound.angles, free), plan.n_weights)
    return inputs, weights


def _pull_run(
    run: BoundRun, psi: Array, states: tuple[Array, ...], mu: Array, free: Array
) -> Array:
    if run.dense is not None:
        return pull_dense(run.steps, run.kron, run.dense, psi, mu, free)
    return backward_run(run.steps, run.kron, states, mu, free)


def _pull_chains(
    bound: Bound, trace: Trace, vectors: Array, free: Array, *, need_inputs: bool
) -> tuple[Array | None, Array]:
    """Turns the data layers' gradient vectors back through their chains, slot by slot."""
    weights = np.zeros((bound.plan.n_weights, bound.agents))
    inputs = np.zeros(trace.features.shape, bound.dtype) if need_inputs else None
    numbers = link_numbers(bound.plan.data)
    for k in range(len(bound.slots) - 1, -1, -1):
        vectors = _pull_link(bound, numbers[k + 1], vectors, free)
        slot, turn = bound.slots[k], trace.turns[k]
        _add_slot_gradient(slot, slot.derivative(vectors), trace.features, weights, inputs)
        if k or numbers[0] is not None:
            vectors = slot.back(turn, vectors)
    _pull_link(bound, numbers[0], vectors, free)
    return (None if inputs is None else np.moveaxis(inputs, 0, -1)), weights.T


def _pull_link(bound: Bound, numbers: Array | None, vectors: Array, free: Array) -> Array:
    if numbers is None:
        return vectors
    summed = vectors.sum(-1, dtype=np.float64)
    np.add.at(free, (slice(None), numbers), summed)
    turned = adjoint(*(part[numbers] for part in bound.pairs)).astype(bound.dtype)
    result = np.empty_like(vectors)
    np.matmul(
        turned.swapaxes(-1, -2),
        vectors.transpose(1, 2, 3, 0, 4),
        out=result.transpose(1, 2, 3, 0, 4),
    )
    return result


def _add_slot_gradient(
    bound: BoundSlot, derivative: Array, features: Array, weights: Array, inputs: Array | None
) -> None:
    slot = bound.slot
    trained = slot.weight >= 0
    if trained.any():
        summed = np.einsum("lnab,lnab->lna", derivative, features[slot.feature])
        np.add.at(weights, slot.weight[trained], summed[trained] * slot.factor[trained][:, None])
    if inputs is not None:
        np.add.at(inputs, slot.feature, derivative * bound.slope)


def _signs(qubits: int) -> Array:
    """Eigenvalues ``(n, 2**n)`` of Z on each wire."""
    bits = np.arange(2**qubits) >> np.arange(qubits - 1, -1, -1)[:, None]
    return np.asarray(1.0 - 2.0 * (bits & 1))
