"""Any PettingZoo or Gymnasium environment as a batched world, in this process or in several."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from envs.block import Block, bytes_of
from envs.copies import Copy
from envs.guard import check_actions, check_finite, check_mask
from envs.pettingzoo_source import PettingZooConfig, factory
from envs.sources import picture_of
from envs.workers import Inline, Workers
from envs.world import Scene, Step, View, WorldSpec
from qmarl.errors import RunError

if TYPE_CHECKING:
    from envs.sources import Source
    from envs.workers import Crew
    from qmarl.types import Array

__all__ = ["PettingZooConfig", "PettingZooWorld"]


@final
class PettingZooWorld:
    """``E`` copies of a foreign environment; implements :class:`envs.world.World`.

    Agents may have different spaces, come late, die early, take turns and carry action masks. The
    seed of an episode is ``seed_for(seed, "env", first_env + i, episode)``, cut to 31 bits for
    environments that hand it to old generators. With ``workers`` in the section the copies are
    stepped in processes of their own, to the same numbers.

    Args:
        config: Which environment.
        num_envs: Number ``E`` of copies.
        source: An environment that was made already, for a world of one copy.

    Raises:
        ConfigurationError: The environment cannot be made, or its spaces cannot be used.
    """

    def __init__(
        self, config: PettingZooConfig, num_envs: int, source: Source | None = None
    ) -> None:
        self._num_envs, self._first_env = num_envs, 0
        self._first = first = source or factory(config)()
        copy = Copy(config, first)
        self._spec = copy.describe()
        self._crew: Crew
        if config.workers and num_envs > 1:
            copy.close()
            self._crew = Workers(config, self._spec, num_envs)
        else:
            self._crew = self._inline(config, copy)
        self._view: View | None = None

    @property
    def spec(self) -> WorldSpec:
        """What is fixed about the world."""
        return self._spec

    @property
    def num_envs(self) -> int:
        """Number ``E`` of copies."""
        return self._num_envs

    def reset(self, seed: int, first_env: int = 0) -> View:
        """Starts episode 0 of ``seed`` in every copy; see :meth:`envs.world.World.reset`."""
        self._view, self._first_env = None, first_env
        self._crew.begin(seed, first_env)
        view = self._crew.block.after.copy()
        check_finite(view, np.zeros(1, np.float32), self._spec, first_env)
        self._view = view
        return view

    def step(self, actions: Array) -> Step:
        """Moves every copy by one decision; see :meth:`envs.world.World.step`."""
        if self._view is None:
            raise RunError(f"{self._spec.name}: reset(seed) must come before step(actions)")
        before, block, first = self._view, self._crew.block, self._first_env
        block.actions[:] = check_actions(
            actions, before.alive, before.action_mask, self._spec, first
        )
        self._view = None  # what raises half-way leaves nothing to go on from
        self._crew.advance()
        final, rewards = block.final.copy(), block.rewards.copy()
        check_finite(final, rewards, self._spec, first)
        truncated, ended = block.truncated.copy(), block.ended.copy()
        view = final
        if ended.any() or truncated.any():
            view = block.after.copy()
            check_finite(view, np.zeros(1, np.float32), self._spec, first)
        self._view = view
        outcomes = self._outcomes() if ended.any() else {}
        return Step(view, final, rewards, block.terminated.copy(), truncated, ended, outcomes)

    def restart(self, mask: Array) -> View:
        """Begins the next episode of some copies; see :meth:`envs.world.World.restart`."""
        if self._view is None:
            raise RunError(f"{self._spec.name}: reset(seed) must come before restart(mask)")
        check_mask(mask, self.num_envs, self._spec)
        self._view, self._crew.block.ended[:] = None, mask
        self._crew.restart()
        view = self._crew.block.after.copy()
        check_finite(view, np.zeros(1, np.float32), self._spec, self._first_env)
        self._view = view
        return view

    def positions(self) -> Array:
        """Raises ``RunError``: foreign worlds do not say where their agents are."""
        raise RunError(f"{self._spec.name} has no positions: it is a foreign world")

    def scene(self, final: bool = False) -> Scene:  # noqa: ARG002 - the protocol's signature
        """Raises ``RunError``: foreign worlds draw themselves, see :meth:`picture`."""
        raise RunError(f"{self._spec.name} cannot be drawn: it is a foreign world")

    def picture(self) -> Array:
        """The environment's own picture of copy 0, ``(height, width, 3)`` uint8.

        Raises:
            RunError: It shows none, or lives in another process.
        """
        return picture_of(self._first, self._spec.name)

    def close(self) -> None:
        """Closes every copy."""
        self._crew.close()

    def _inline(self, config: PettingZooConfig, copy: Copy) -> Inline:
        block = Block.over(
            bytearray(bytes_of(self._spec, self._num_envs)), self._spec, self._num_envs
        )
        if self._num_envs == 1:
            return Inline([copy], block)
        make = factory(config)
        more = [Copy(config, make(), self._spec) for _ in range(self._num_envs - 1)]
        return Inline([copy, *more], block)

    def _outcomes(self) -> dict[str, Array]:
        values = self._crew.block.outcomes
        return {name: values[:, at].copy() for at, name in enumerate(self._spec.outcomes)}
