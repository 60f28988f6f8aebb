"""The batched protocol: ``E`` copies of a task with ``A`` agents, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

FLYING: Final = 0
ARRIVED: Final = 1
CRASHED: Final = 2

if TYPE_CHECKING:
    from envs.bodies import Solids
    from qmarl.types import Array


@dataclass(frozen=True)
class WorldSpec:
    """What is fixed about a world.

    Attributes:
        name: The world's id, such as ``drone_navigation``.
        agents: Names of all possible agents, in the order of every agent axis.
        observation_sizes: Numbers that each agent sees; arrays are padded to the largest.
        action_counts: Discrete actions of each agent; masks are padded to the largest. All 0 in a
            world whose actions are continuous.
        state_size: Length of the joint state, 0 when the world has none.
        max_steps: Steps after which an episode is truncated.
        outcomes: Names of the per-episode outcomes in :attr:`Step.outcomes`.
        arena: ``(2, 3)`` lower and upper corner in metres for drawing, or ``None``.
        action_sizes: Numbers in each agent's continuous action, every one within [-1, 1] whatever
            the world's own units; all 0 in a world whose actions are discrete.
        kinds: ``drone`` or ``vehicle`` for each agent that has a body; empty without bodies.
        masked: Whether some actions are at times not allowed.
    """

    name: str
    agents: tuple[str, ...]
    observation_sizes: tuple[int, ...]
    action_counts: tuple[int, ...]
    state_size: int
    max_steps: int
    outcomes: tuple[str, ...] = ()
    arena: Array | None = None
    action_sizes: tuple[int, ...] = ()
    kinds: tuple[str, ...] = ()
    masked: bool = False

    @property
    def continuous(self) -> bool:
        """Whether actions are numbers ``(E, A, C)`` rather than choices ``(E, A)``."""
        return any(self.action_sizes)


@dataclass(frozen=True)
class View:
    """What the agents may look at before they act.

    Attributes:
        observations: ``(E, A, D)`` float32, zero-padded; zero for agents that are not alive.
        state: ``(E, S)`` float32, the joint state.
        alive: ``(E, A)`` bool, agents whose next action counts.
        action_mask: ``(E, A, N)`` bool, actions that are allowed (all-true rows where not alive);
            ``N`` is 0 in a world whose actions are continuous.
    """

    observations: Array
    state: Array
    alive: Array
    action_mask: Array

    @property
    def continuous(self) -> bool:
        """Whether actions are numbers rather than choices."""
        return int(self.action_mask.shape[-1]) == 0


@dataclass(frozen=True)
class Step:
    """What one step of the batch brought (same-step autoreset).

    Attributes:
        view: What the agents see next; in worlds whose episode ended, the next episode's start.
        final: What they would have seen without the reset; the same object as ``view`` when no
            episode ended in this step.
        rewards: ``(E, A)`` float32, 0 for agents that were not alive.
        terminated: ``(E, A)`` bool, the agent's episode ended in the world in this step.
        truncated: ``(E, A)`` bool, it was cut in this step (never together with ``terminated``).
        ended: ``(E,)`` bool, the team's episode ended, and the world was reset.
        outcomes: Arrays ``(E,)`` by name, valid where ``ended``.
    """

    view: View
    final: View
    rewards: Array
    terminated: Array
    truncated: Array
    ended: Array
    outcomes: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Scene:
    """What a spectator sees of every copy: copies of arrays, metres and seconds, one frame.

    Attributes:
        time: ``(E,)`` seconds since each episode began.
        positions: ``(E, A, 3)``.
        status: ``(E, A)`` int8: :data:`FLYING`, :data:`ARRIVED` or :data:`CRASHED`.
        solids: What stands still.
        goals: ``(E, A, 3)``, agent by agent; nan where an agent has none.
        radii: ``(A,)`` radius of each agent.
        goal_radius: Distance from its goal within which an agent has arrived; 0 without goals.
        headings: ``(E, A)`` radians; None where bodies have no front.
        marks: ``(E, K, 3)`` points of interest, such as users; nan where there is none.
        links: ``(E, A, A)`` bool, who hears whom; None where that plays no part.
        lines: ``(L, 2, 3)`` segments on the ground, such as lanes; None without.
    """

    time: Array
    positions: Array
    status: Array
    solids: Solids
    goals: Array
    radii: Array
    goal_radius: float = 0.0
    headings: Array | None = None
    marks: Array | None = None
    links: Array | None = None
    lines: Array | None = None


class World(Protocol):
    """``E`` independent copies of one task."""

    @property
    def spec(self) -> WorldSpec:
        """What is fixed about the world."""
        ...

    @property
    def num_envs(self) -> int:
        """Number ``E`` of copies."""
        ...

    def reset(self, seed: int, first_env: int = 0) -> View:
        """Starts episode 0 in every copy.

        Args:
            seed: Seed of the batch.
            first_env: Global index of copy 0: copy ``i`` lives as world ``first_env + i`` of
                ``seed`` whatever the number of copies.
        """
        ...

    def step(self, actions: Array) -> Step:
        """Moves every copy by one decision.

        Args:
            actions: ``(E, A)`` integers, or ``(E, A, C)`` float32 within [-1, 1] where
                :attr:`WorldSpec.continuous`; entries of agents that are not alive are ignored.

        Raises:
            RunError: Actions are out of range or misshapen, or the world returned a number that
                is not finite.
        """
        ...

    def restart(self, mask: Array) -> View:
        """Breaks off the episodes of some copies and begins their next ones.

        Args:
            mask: ``(E,)`` bool, which copies.

        Returns:
            What is seen now in every copy.

        Raises:
            RunError: The world was not reset before, or the mask is misshapen.
        """
        ...

    def positions(self) -> Array:
        """``(E, A, 3)`` positions in metres in one frame; ``RunError`` when there are none."""
        ...

    def scene(self, final: bool = False) -> Scene:
        """What a spectator sees; ``RunError`` when there is nothing to see.

        Args:
            final: Show worlds that ended in the last step as they ended, not their next episode.
        """
        ...

    def close(self) -> None:
        """Lets go of processes and windows."""
        ...
