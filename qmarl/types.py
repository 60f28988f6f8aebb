"""The types that cross borders: parameters, trajectories, messages and their channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
"""A NumPy array of any kind; docstrings give shape and unit."""

Params = dict[str, Array]
"""Named parameters of one model, or of a stack of models with a leading axis."""

Role = Literal["angles", "scales", "readout", "weights", "log_std"]
"""A parameter's group in the optimiser; ``weights`` are those of classical networks, ``log_std``
sets the deviations of continuous actions."""


class ParameterSpec(NamedTuple):
    """Declares one named parameter.

    Attributes:
        shape: Shape of one model's array, without a stack axis.
        period: ``None`` for a plain number, ``2 * pi`` for an angle, ``4 * pi`` for the angle of a
            controlled rotation.
        role: The optimiser's group that it belongs to.
    """

    shape: tuple[int, ...]
    period: float | None
    role: Role

    @property
    def size(self) -> int:
        """Number of trainable numbers."""
        return int(np.prod(self.shape))


Layout = Mapping[str, ParameterSpec]
"""The declaration of every parameter of a model, by name."""


@dataclass(frozen=True)
class Trajectory:
    """What a team lived through in ``T`` steps of ``E`` worlds with ``A`` agents.

    Observations are padded to the widest agent's ``D``, choices to the largest count ``N``, and
    continuous actions to the most numbers ``N``; what is surplus is masked out. A step where
    ``alive`` is false carries nothing to learn from.

    Attributes:
        observations: ``(T, E, A, D)`` float32, seen before acting.
        state: ``(T, E, S)`` float32, the joint state for central critics (``S`` may be 0).
        actions: ``(T, E, A)`` int64 choices, or ``(T, E, A, N)`` float32 as they were drawn, before
            the world was given them clipped to [-1, 1].
        log_probs: ``(T, E, A)`` float32, of the actions when they were drawn.
        rewards: ``(T, E, A)`` float32.
        terminated: ``(T, E, A)`` bool, the agent's episode ended in the world: value 0 follows.
        truncated: ``(T, E, A)`` bool, it was cut: the value of what came next is bootstrapped.
        alive: ``(T, E, A)`` bool, the agent acted in this step.
        action_mask: ``(T, E, A, N)`` bool, the choices that were allowed, or the numbers that each
            agent's continuous action has.
        cut_steps: ``(K,)`` int64, steps ``t`` of the cuts (truncations and the rollout's end).
        cut_envs: ``(K,)`` int64, world of each cut.
        cut_observations: ``(K, A, D)`` float32, what would have been seen next.
        cut_state: ``(K, S)`` float32, the joint state that goes with it.
        episodes: Per finished episode, arrays ``(n,)`` by name: ``return``, ``length``, and the
            world's own outcomes such as ``success`` and ``collision``.
    """

    observations: Array
    state: Array
    actions: Array
    log_probs: Array
    rewards: Array
    terminated: Array
    truncated: Array
    alive: Array
    action_mask: Array
    cut_steps: Array
    cut_envs: Array
    cut_observations: Array
    cut_state: Array
    episodes: dict[str, Array]

    @property
    def continuous(self) -> bool:
        """Whether actions are numbers rather than choices."""
        return self.actions.ndim == self.action_mask.ndim

    @property
    def env_steps(self) -> int:
        """Number of world steps, ``T * E``."""
        return int(self.rewards.shape[0] * self.rewards.shape[1])


MessageKind = Literal["broadcast", "update"]


@dataclass(frozen=True)
class Envelope:
    """One message of the federated layer: named arrays and who sent them in which round.

    Attributes:
        kind: ``broadcast`` (server to client: parameters) or ``update`` (client to server: deltas).
        round: Round number, from 0.
        client: Name of the client that sends or is meant to receive.
        group: Name of the agent group whose model this is.
        arrays: Named arrays; float64 for updates.
        periods: Period of each array, as in :class:`ParameterSpec`.
        examples: Number of examples behind an update (0 in a broadcast).
        metrics: Plain numbers that ride along, in clear.
    """

    kind: MessageKind
    round: int
    client: str
    group: str
    arrays: Params
    periods: dict[str, float | None]
    examples: int = 0
    metrics: dict[str, float] = field(default_factory=dict)


class Link(NamedTuple):
    """One direction between a client and the server in one round."""

    sender: str
    receiver: str
    round: int


class Channel(Protocol):
    """Carries bytes between clients and server; privacy and encryption wrap it."""

    def transfer(self, payload: bytes, link: Link) -> bytes:
        """Carries ``payload`` over ``link`` and returns what the receiver reads.

        Raises:
            RunError: The payload could not be delivered whole.
        """
        ...
