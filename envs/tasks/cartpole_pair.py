"""Two cart-poles as two agents: neither may let its pole fall, or it is over for both."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal, final

import numpy as np
from pydantic import Field, field_validator

from envs.game import GameSection, GameWorld, Look, Steps
from envs.world import WorldSpec

if TYPE_CHECKING:
    from envs.world import View
    from qmarl.types import Array

POLES = 2
SCALE = (2.4, 2.5, 0.21, 2.5)
"""What eQMARL divides position, velocity, angle and angular velocity by."""

# Gymnasium's CartPole-v1, in SI units.
GRAVITY, CART, POLE, HALF_LENGTH, FORCE, TAU = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
FURTHEST, STEEPEST = 2.4, 12 * 2 * math.pi / 360
START = 0.05


class CartpolePairConfig(GameSection):
    """Two independent CartPole-v1 as two agents (eQMARL)."""

    id: Literal["cartpole_pair"] = "cartpole_pair"
    """Name of the world."""
    max_steps: Steps = 500
    """Steps after which an episode is cut; 500 in CartPole-v1."""
    features: tuple[Annotated[int, Field(ge=0, le=3)], ...] = (0, 1, 2, 3)
    """What an agent sees of its cart-pole: 0 position, 1 velocity, 2 angle, 3 angular velocity.
    ``[0, 2, 3]`` is eQMARL's partially observable task."""
    scaled: bool = True
    """Divides what is seen by 2.4 m, 2.5 m/s, 0.21 rad and 2.5 rad/s, as eQMARL's models do;
    otherwise it is in m, m/s, rad and rad/s. Velocities may pass 1."""

    @field_validator("features")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or len(set(value)) < len(value):
            raise ValueError(f"must name features once each, got {list(value)}")
        return value


@final
class CartpolePair:
    """The two-agent CartPole of DeRieux and Saad, "eQMARL", ICLR 2025 (arXiv 2405.17486).

    Each agent balances a pole of its own; the two carts never meet. The physics are Gymnasium's
    CartPole-v1 to the last bit of its 64-bit state: action 1 pushes the cart to the right with
    10 N, action 0 to the left, for 0.02 s of explicit Euler, and a start is uniform within 0.05 in
    each number. An agent gets 1 for every step, the last one too.

    A pole that leans by more than 12 degrees, or a cart further out than 2.4 m, ends the episode:
    that agent's is terminated, the other one's is cut, so that its value is still estimated. This
    is eQMARL's rule, whose loop breaks when either environment is done and bootstraps the one that
    is not.

    An agent sees its own features; the joint state is both agents' observations in a row.

    Outcomes: ``balanced``, the steps that both poles stood.

    Args:
        config: What is seen, and for how long.
        num_envs: Number ``E`` of worlds.
    """

    def __init__(self, config: CartpolePairConfig, num_envs: int) -> None:
        size = len(config.features)
        self.spec = WorldSpec(
            name=config.id,
            agents=tuple(f"pole_{i}" for i in range(POLES)),
            observation_sizes=(size,) * POLES,
            action_counts=(2,) * POLES,
            state_size=size * POLES,
            max_steps=config.max_steps,
            outcomes=("balanced",),
        )
        self.draws, self.step_draws = 4 * POLES, 0
        self._features = list(config.features)
        self._scale = np.array(SCALE if config.scaled else (1, 1, 1, 1))
        self._bodies: Array = np.zeros((num_envs, POLES, 4))
        self._balanced: Array = np.zeros(num_envs, np.float32)

    def begin(self, rows: Array, uniform: Array) -> None:
        """Stands both poles up, nearly; see :meth:`envs.game.Game.begin`."""
        self._bodies[rows] = (START * (2 * uniform - 1)).reshape(len(rows), POLES, 4)
        self._balanced[rows] = 0

    def play(self, actions: Array, steps: Array, uniform: Array) -> tuple[Array, Array]:  # noqa: ARG002
        """Pushes both carts; see :meth:`envs.game.Game.play`."""
        self._bodies = advanced(self._bodies, actions)
        out, lean = np.abs(self._bodies[..., 0]), np.abs(self._bodies[..., 2])
        self._balanced = steps.astype(np.float32)
        return np.ones(actions.shape, np.float32), (out > FURTHEST) | (lean > STEEPEST)

    def look(self) -> Look:
        """What each agent sees of its own cart-pole; see :meth:`envs.game.Game.look`."""
        seen = (self._bodies / self._scale)[..., self._features].astype(np.float32)
        return Look(seen, seen.reshape(len(seen), -1).copy())

    def outcomes(self) -> dict[str, Array]:
        """``balanced`` of the episodes, ``(E,)`` float32."""
        return {"balanced": self._balanced.copy()}

    def board(self) -> Array:
        """``(E, 2, 4)`` position, velocity, angle and angular velocity, in SI units."""
        return self._bodies.copy()


def advanced(bodies: Array, actions: Array) -> Array:
    """One step of CartPole-v1.

    Args:
        bodies: ``(..., 4)`` float64 position in m, velocity in m/s, angle from upright in rad and
            angular velocity in rad/s.
        actions: ``(...,)`` 1 to push to the right, 0 to the left.
    """
    position, velocity, angle, spin = np.moveaxis(bodies, -1, 0)
    total, moment = CART + POLE, POLE * HALF_LENGTH
    cosine, sine = np.cos(angle), np.sin(angle)
    push = (np.where(actions == 1, FORCE, -FORCE) + moment * np.square(spin) * sine) / total
    twist = (GRAVITY * sine - cosine * push) / (
        HALF_LENGTH * (4.0 / 3.0 - POLE * np.square(cosine) / total)
    )
    pull = push - moment * twist * cosine / total
    return np.stack(
        [position + TAU * velocity, velocity + TAU * pull, angle + TAU * spin, spin + TAU * twist],
        -1,
    )


def make(config: CartpolePairConfig, num_envs: int) -> GameWorld:
    """Makes ``num_envs`` copies of the world."""
    game = CartpolePair(config, num_envs)
    return GameWorld(game, num_envs, game.board)


def leaning(view: View) -> Array:
    """Pushes under the pole where it leans; made for worlds whose agents see all four features."""
    actions: Array = (view.observations[..., 2] > 0).astype(np.int64)
    return actions


def balancing(view: View) -> Array:
    """Pushes by a weighted sum of all four features, scaled; holds both poles for 500 steps."""
    weights = np.array([0.24, 1.0, 2.1, 2.5], np.float32)
    actions: Array = ((view.observations * weights).sum(-1) > 0).astype(np.int64)
    return actions
