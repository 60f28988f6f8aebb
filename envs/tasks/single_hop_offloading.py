"""Single-hop offloading: four edge agents keep two clouds busy and never flooded."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal, final

import numpy as np

from envs.game import GameSection, GameWorld, Look, Steps
from envs.world import WorldSpec

if TYPE_CHECKING:
    from envs.scripted import Policy
    from envs.world import View
    from qmarl.types import Array

AGENTS, CLOUDS = 4, 2
EDGE_START = (0.8, 0.8, 0.2, 0.2)
CLOUD_START = (0.5, 0.5)
AMOUNTS = (0.1, 0.2)
ARRIVAL, SERVICE = 0.3, 0.3
OVERFLOW_WEIGHT, EMPTY_WEIGHT = 1.0, 4.0
_AGENT = np.arange(AGENTS)


class SingleHopOffloadingConfig(GameSection):
    """Four edge agents send what arrives at them to two clouds (Yun et al. 2022)."""

    id: Literal["single_hop_offloading"] = "single_hop_offloading"
    """Name of the world."""
    max_steps: Steps = 30
    """Steps after which an episode is cut; the paper's ``T``."""


@final
class SingleHopOffloading:
    """The rules of Yun et al., "QMARL via variational quantum circuit design", ICDCS 2022.

    All numbers are those of the authors' published ``Environment.py``; queues hold 1. In a step,
    agent ``n`` takes action ``a`` in 0..3: it sends ``AMOUNTS[a % 2]`` to cloud ``a // 2``. First
    ``U(0, 0.3)`` arrives in each edge queue and the amount leaves it; what is not there is not
    sent. Then each cloud receives what is sent to it and serves 0.3. Everyone's reward is minus
    the overflow of both clouds, minus 4 times the service for which both lacked work.

    An agent sees its own queue one step ago and now, and both clouds' queues; the joint state is
    all four observations. Episodes are cut, not terminated: nothing ends in the world.

    In the published code the clock is never set back, so every later episode is ``done`` from its
    first step on, which its training loop does not look at; here each episode has its own clock.
    The paper's text gives returns on another scale (random about -33) than its code has (random
    about -3.6), so compare by achievability, ``1 - return / random return``.

    Outcomes: ``overflow`` and ``empty``, the unweighted sums over the episode and both clouds.

    Args:
        config: How long an episode is.
        num_envs: Number ``E`` of worlds.
    """

    def __init__(self, config: SingleHopOffloadingConfig, num_envs: int) -> None:
        self.spec = WorldSpec(
            name=config.id,
            agents=tuple(f"edge_{i}" for i in range(AGENTS)),
            observation_sizes=(2 + CLOUDS,) * AGENTS,
            action_counts=(CLOUDS * len(AMOUNTS),) * AGENTS,
            state_size=(2 + CLOUDS) * AGENTS,
            max_steps=config.max_steps,
            outcomes=("overflow", "empty"),
        )
        self.draws, self.step_draws = 0, AGENTS
        self._edge: Array = np.zeros((num_envs, AGENTS))
        self._before: Array = np.zeros((num_envs, AGENTS))
        self._cloud: Array = np.zeros((num_envs, CLOUDS))
        self._sums: Array = np.zeros((2, num_envs))

    def begin(self, rows: Array, uniform: Array) -> None:  # noqa: ARG002 - the protocol's
        """Starts episodes in worlds ``rows``, always with the same queues."""
        self._edge[rows] = self._before[rows] = EDGE_START
        self._cloud[rows] = CLOUD_START
        self._sums[:, rows] = 0

    def play(self, actions: Array, steps: Array, uniform: Array) -> tuple[Array, Array]:  # noqa: ARG002
        """Moves work from edges to clouds; see :meth:`envs.game.Game.play`."""
        amount = np.take(AMOUNTS, actions % len(AMOUNTS))
        self._before = self._edge
        edge = self._edge + ARRIVAL * uniform - amount
        sent = amount - np.maximum(-edge, 0)
        self._edge = np.clip(edge, 0, 1)
        received = [np.where(actions // 2 == cloud, sent, 0).sum(1) for cloud in range(CLOUDS)]
        cloud = self._cloud + np.stack(received, 1) - SERVICE
        overflow, empty = np.maximum(cloud - 1, 0).sum(1), np.maximum(-cloud, 0).sum(1)
        self._cloud = np.clip(cloud, 0, 1)
        self._sums += (overflow, empty)
        reward = -(OVERFLOW_WEIGHT * overflow + EMPTY_WEIGHT * empty)
        rewards = np.repeat(reward[:, None], AGENTS, 1).astype(np.float32)
        return rewards, np.zeros(rewards.shape, bool)

    def look(self) -> Look:
        """Every agent's queues and the clouds'; see :meth:`envs.game.Game.look`."""
        clouds = np.repeat(self._cloud[:, None], AGENTS, 1)
        seen = np.concatenate([self._before[..., None], self._edge[..., None], clouds], -1)
        seen = seen.astype(np.float32)
        return Look(seen, seen.reshape(len(seen), -1).copy())

    def outcomes(self) -> dict[str, Array]:
        """``overflow`` and ``empty`` of the episodes, ``(E,)`` float32."""
        return dict(zip(self.spec.outcomes, self._sums.astype(np.float32), strict=True))


def make(config: SingleHopOffloadingConfig, num_envs: int) -> GameWorld:
    """Makes ``num_envs`` copies of the world."""
    return GameWorld(SingleHopOffloading(config, num_envs), num_envs)


def fixed(joint_action: tuple[int, ...]) -> Policy:
    """A policy that always takes the same joint action, such as ``(1, 0, 3, 2)``.

    With ``(1, 0, 3, 2)`` every cloud is sent 0.3 in each step, just what it serves, as long as the
    edges have it.
    """
    return partial(_fixed, np.array(joint_action))


def _fixed(joint_action: Array, view: View) -> Array:
    return np.tile(joint_action, (len(view.observations), 1))


def homes(view: View) -> Array:
    """A rule for each agent alone: feed one cloud, agents 0 and 2 the first, 1 and 3 the second.

    An agent with much in its queue sends the greater amount unless its cloud is nearly full; one
    with little sends it when its cloud is less than half full. Every cloud is fed by an edge that
    begins with much and by one that begins with little.
    """
    queue = view.observations[..., 1]
    home = view.observations[:, _AGENT, 2 + _AGENT % 2]
    more = home < np.where(queue > 0.5, 0.8, 0.5)
    return 2 * (_AGENT % 2) + more


def greedy(view: View) -> Array:
    """A central rule: one agent after the other sends to the cloud that will have less.

    It sends the greater amount when both clouds together would hold less than 0.7 after their
    service, or when its queue is above 0.8.
    """
    clouds = view.observations[:, 0, 2:].astype(np.float64) - SERVICE
    actions, rows = np.zeros(view.alive.shape, np.int64), np.arange(len(clouds))
    for agent in range(AGENTS):
        least = clouds.argmin(1)
        more = (clouds.sum(1) < 0.7) | (view.observations[:, agent, 1] > 0.8)
        clouds[rows, least] += np.where(more, AMOUNTS[1], AMOUNTS[0])
        actions[:, agent] = 2 * least + more
    return actions
