"""Runs a noise plan on NumPy arrays, with the adjoint written by hand.

Everything that depends on the weights alone is built once in float64: one-wire maps, the state
before the first data rotation, and the readout pulled back to behind the last one (the Heisenberg
picture). Only what lies between sees every sample. States are ``(A, 4**n, B)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, final

import numpy as np

from qmarl.circuits.noise import kron
from qmarl.circuits.noise_plan import (
    Constant,
    Data,
    Factor,
    Group,
    Monomial,
    NoisePlan,
    Step,
    on_wires,
)
from qmarl.types import Array


class Chains(NamedTuple):
    """One-wire maps as padded products of factors, ``c`` of them in each of ``K`` chains.

    Attributes:
        turn: ``(c, K, 4, 4)`` generators ``G`` of the rotations.
        factor: ``(c, K)`` of the weight in the angle.
        offset: ``(c, K)`` [rad].
        weight: ``(c, K)`` index of the weight, 0 where none takes part.
        after: ``(c, K, 1, 4, 4)`` constant map behind each rotation.
    """

    turn: Array
    factor: Array
    offset: Array
    weight: Array
    after: Array


def make_chains(chains: Sequence[Sequence[Factor]]) -> Chains:
    """Writes chains as arrays; what a shorter chain lacks is the identity."""
    depth, count = max(map(len, chains), default=0), len(chains)
    turn = np.zeros((depth, count, 4, 4))
    after = np.tile(np.eye(4), (depth, count, 1, 1, 1))
    factor, offset = np.zeros((2, depth, count))
    weight = np.zeros((depth, count), int)
    for k, chain in enumerate(chains):
        for j, part in enumerate(chain):
            turn[j, k, 1:, 1:] = np.cross(np.eye(3), part.axis)
            after[j, k] = part.after
            offset[j, k] = part.angle.offset
            if part.angle.weight >= 0:
                factor[j, k], weight[j, k] = part.angle.factor, part.angle.weight
    return Chains(turn, factor, offset, weight, after)


class BoundChains(NamedTuple):
    """Chains under given weights.

    Attributes:
        factors: ``(c, K, A, 4, 4)``.
        slopes: ``(c, K, A, 4, 4)``, the derivatives of the factors by their angles.
        products: ``(K, A, 4, 4)``.
    """

    factors: Array
    slopes: Array
    products: Array


def bind_chains(chains: Chains, weights: Array) -> BoundChains:
    """Multiplies all chains out under ``weights`` ``(A, P)``, by Rodrigues' formula, float64."""
    used = weights.T[chains.weight] if weights.shape[1] else np.zeros((1, len(weights)))
    angle = used * chains.factor[..., None] + chains.offset[..., None]
    sine, cosine = np.sin(angle)[..., None, None], np.cos(angle)[..., None, None]
    turn = chains.turn[:, :, None]
    twice = turn @ turn
    factors = chains.after @ (np.eye(4) + sine * turn + (1 - cosine) * twice)
    slopes = chains.after @ (cosine * turn + sine * twice)
    products = np.broadcast_to(np.eye(4), (*factors.shape[1:],))
    for factor in factors:
        products = factor @ products
    return BoundChains(factors, slopes, products)


def pull_chains(chains: Chains, bound: BoundChains, gradient: Array, result: Array) -> None:
    """Adds the weights' gradient to ``result (A, P)``, given that of the products."""
    depth = len(bound.factors)
    before = [np.broadcast_to(np.eye(4), bound.products.shape)]
    for factor in bound.factors[:-1]:
        before.append(factor @ before[-1])
    for j in range(depth - 1, -1, -1):
        here = gradient @ before[j].swapaxes(-1, -2)
        slope = (here * bound.slopes[j]).sum((-1, -2)) * chains.factor[j][:, None]
        if result.shape[1]:
            np.add.at(result.T, chains.weight[j], slope)
        gradient = bound.factors[j].swapaxes(-1, -2) @ gradient


@final
class NoiseBound:
    """A noise plan under given weights.

    Args:
        plan: The plan.
        chains: Its chains as arrays.
        weights: ``(A, P)`` float64, derived ones included.
        dtype: float32 or float64, of the samples.
    """

    def __init__(self, plan: NoisePlan, chains: Chains, weights: Array, dtype: np.dtype) -> None:
        self._plan, self._chains = plan, chains
        self._shape = weights.shape
        self._dtype = dtype
        self._bound = bind_chains(chains, weights)
        self._groups = {
            step: kron([self._wire(chain) for chain in step.chains])
            for step in (*plan.head, *plan.body, *plan.tail)
            if isinstance(step, Group)
        }
        self._cast = {step: matrix.astype(dtype) for step, matrix in self._groups.items()}
        self._begin()

    def _wire(self, chain: int) -> Array:
        agents = self._shape[0]
        if chain < 0:
            return np.broadcast_to(np.eye(4), (agents, 4, 4))
        return np.asarray(self._bound.products[chain])

    def _begin(self) -> None:
        """Runs the head forwards and the tail backwards."""
        plan, agents = self._plan, self._shape[0]
        state = np.broadcast_to(_ground_state(plan.qubits), (agents, 4**plan.qubits, 1))
        self._head = [state]
        for step in plan.head:
            self._head.append(self._apply(step, self._head[-1], self._groups))
        words = np.broadcast_to(plan.readout.T, (agents, *plan.readout.T.shape))
        self._tail = [words]
        for step in reversed(plan.tail):
            self._tail.append(self._transpose(step, self._tail[-1], self._groups))
        self._state, self._words = (s[-1].astype(self._dtype) for s in (self._head, self._tail))

    def forward(self, angles: Array) -> tuple[Array, list[Array]]:
        """Outputs ``(A, B, outputs)`` for data angles ``(rows, A, B)``, and all states."""
        turns = np.stack([np.cos(angles), np.sin(angles)])
        batch = angles.shape[-1] if not self._plan.body else 1
        states = [np.broadcast_to(self._state, (*self._state.shape[:2], batch))]
        for step in self._plan.body:
            if isinstance(step, Data):
                states.append(_turn(step, states[-1], (turns[0], turns[1]), self._plan.qubits))
            else:
                states.append(self._apply(step, states[-1], self._cast))
        return states[-1].swapaxes(1, 2) @ self._words, [turns, *states]

    def sums(self) -> Sums:
        """Zeros for :meth:`backward` to add to."""
        groups = {step: np.zeros(matrix.shape) for step, matrix in self._groups.items()}
        return Sums(groups, np.zeros(self._state.shape), np.zeros(self._words.shape))

    def backward(self, trace: list[Array], gradient: Array, sums: Sums) -> Array:
        """Adds one batch's gradient ``(A, B, outputs)``; returns that of its angles."""
        turns, *states = trace
        sums.words[:] += states[-1] @ gradient
        left = self._words @ gradient.swapaxes(1, 2)
        angles = np.zeros(turns.shape[1:], left.dtype)
        for step, before, after in zip(
            self._plan.body[::-1], states[-2::-1], states[:0:-1], strict=True
        ):
            if isinstance(step, Data):
                _pull_turn(step, left, after, angles, self._plan.qubits)
                left = _turn(step, left, (turns[0], -turns[1]), self._plan.qubits)
            else:
                self._outer(step, left, before, sums)
                left = self._transpose(step, left, self._cast)
        sums.state[:] += left.sum(-1, keepdims=True)
        return angles

    def finish(self, sums: Sums) -> Array:
        """Gradient ``(A, P)`` float64 of the weights, derived ones included."""
        left = sums.state
        for step, before in zip(self._plan.head[::-1], self._head[-2::-1], strict=True):
            self._outer(step, left, before, sums)
            left = self._transpose(step, left, self._groups)
        right = sums.words
        for step, after in zip(self._plan.tail, self._tail[-2::-1], strict=True):
            self._outer(step, after, right, sums)
            right = self._apply(step, right, self._groups)
        result = np.zeros(self._shape)
        pull_chains(self._chains, self._bound, self._products(sums), result)
        return result

    def _products(self, sums: Sums) -> Array:
        """Gradient ``(K, A, 4, 4)`` of every one-wire map from those of the groups."""
        result = np.zeros(self._bound.products.shape)
        for group, gradient in sums.groups.items():
            wires = [self._wire(chain) for chain in group.chains]
            for k, chain in enumerate(group.chains):
                if chain >= 0:
                    result[chain] += _share(gradient, wires, k)
        return result

    def _apply(self, step: Step, state: Array, groups: dict[Group, Array]) -> Array:
        if isinstance(step, Group):
            return _on_group(step, groups[step], state)
        if isinstance(step, Monomial):
            return np.asarray(state[:, step.order] * step.scale[:, None].astype(state.dtype))
        assert isinstance(step, Constant)
        part = step._replace(matrix=step.matrix.astype(state.dtype))
        return on_wires(part, state, self._plan.qubits)

    def _transpose(self, step: Step, state: Array, groups: dict[Group, Array]) -> Array:
        if isinstance(step, Group):
            return _on_group(step, groups[step].swapaxes(-1, -2), state)
        if isinstance(step, Monomial):
            back = step.back_scale[:, None].astype(state.dtype)
            return np.asarray(state[:, step.back_order] * back)
        assert isinstance(step, Constant)
        part = step._replace(matrix=step.matrix.T.astype(state.dtype))
        return on_wires(part, state, self._plan.qubits)

    def _outer(self, step: Step, left: Array, right: Array, sums: Sums) -> None:
        """Adds ``left right^T`` on the wires of a group: the gradient of its matrix."""
        if isinstance(step, Group):
            size = 4 ** len(step.chains)
            spread = (len(left), 4**step.first, size, -1)
            products = left.reshape(spread) @ right.reshape(spread).swapaxes(-1, -2)
            sums.groups[step] += products.sum(1)


class Sums(NamedTuple):
    """Gradients of a batch: each group's matrix, the state before the data, the words after."""

    groups: dict[Group, Array]
    state: Array
    words: Array


def _ground_state(qubits: int) -> Array:
    return kron([np.array([[1.0], [0.0], [0.0], [1.0]])] * qubits)


def _on_group(step: Group, matrix: Array, state: Array) -> Array:
    spread = (len(state), 4**step.first, matrix.shape[-1], -1)
    return np.asarray(matrix[:, None] @ state.reshape(spread)).reshape(state.shape)


def _views(state: Array, wire: int, qubits: int) -> tuple[Array, Array]:
    """The X and Y parts of a wire, each ``(A, before, behind, B)``."""
    spread = state.reshape(len(state), 4**wire, 4, 4 ** (qubits - 1 - wire), -1)
    return spread[:, :, 1], spread[:, :, 2]


def _turn(step: Data, state: Array, turns: tuple[Array, Array], qubits: int) -> Array:
    """Rotates by the angles whose cosines and sines ``(rows, A, B)`` are given."""
    result = np.empty((*state.shape[:2], turns[0].shape[-1]), turns[0].dtype)
    result[:] = state
    for wire, row in zip(step.wires, step.rows, strict=True):
        cosine, sine = (part[row][:, None, None] for part in turns)
        x, y = _views(result, wire, qubits)
        turned = cosine * x - sine * y
        y *= cosine
        y += sine * x
        x[:] = turned
    return result


def _pull_turn(step: Data, left: Array, state: Array, angles: Array, qubits: int) -> None:
    for wire, row in zip(step.wires, step.rows, strict=True):
        (x, y), (left_x, left_y) = _views(state, wire, qubits), _views(left, wire, qubits)
        angles[row] += np.einsum("apqb,apqb->ab", left_y, x)
        angles[row] -= np.einsum("apqb,apqb->ab", left_x, y)


def _share(gradient: Array, wires: Sequence[Array], place: int) -> Array:
    """Gradient ``(A, 4, 4)`` of one factor of a Kronecker product."""
    if len(wires) == 1:
        return gradient
    spread = gradient.reshape(-1, 4, 4, 4, 4)
    other = wires[1 - place]
    form = "aikjl,akl->aij" if place == 0 else "akilj,akl->aij"
    return np.asarray(np.einsum(form, spread, other))
