"""Foreign worlds for the proofs: unlike agents that die early, slow steps, and bad numbers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from pettingzoo import ParallelEnv

ACTIONS = {"ant": 2, "bee": 3, "cow": 4}
SIGHTS = {"ant": Box(-9, 9, (3,)), "bee": Box(-9, 9, (5,)), "cow": Discrete(4)}
LENGTH = 4


class Relay(ParallelEnv):
    """``ant`` ends in step 2, ``bee`` is cut in step 3, ``cow`` is cut in step 4.

    Args:
        slow: While there is a file of this name, every step takes 20 ms.
        tally: File that grows by a byte with every episode, in whatever process.
        spoil: What goes wrong in the episode that makes the tally ``at`` bytes long:
            ``observation``, ``reward`` or ``raise``.
        at: That size.
    """

    metadata = {"name": "relay"}  # noqa: RUF012 - PettingZoo's own convention

    def __init__(self, slow: str = "", tally: str = "", spoil: str = "", at: int = 0) -> None:
        self.possible_agents = list(ACTIONS)
        self.agents: list[str] = []
        self.slow, self.tally, self.spoil, self.at = slow, tally, spoil, at

    def observation_space(self, agent: str) -> Any:
        return SIGHTS[agent]

    def action_space(self, agent: str) -> Any:
        return Discrete(ACTIONS[agent])

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.rng, self.clock, self.agents = np.random.default_rng(seed), 0, list(ACTIONS)
        self.trouble = self.spoil if self.episodes() == self.at else ""
        return self.observe(), {agent: {} for agent in self.agents}

    def episodes(self) -> int:
        if not self.tally:
            return -1
        with Path(self.tally).open("ab") as file:
            file.write(b".")
        return Path(self.tally).stat().st_size

    def observe(self) -> dict[str, Any]:
        drawn = self.rng.normal(size=5).astype(np.float32)
        if self.trouble == "observation" and self.clock == 1:
            drawn[4] = np.nan
        seen = {"ant": drawn[:3], "bee": drawn, "cow": int(self.rng.integers(4))}
        return {agent: seen[agent] for agent in self.agents}

    def step(self, actions: dict[str, int]) -> Any:
        if self.slow and Path(self.slow).exists():
            time.sleep(0.02)
        if self.trouble == "raise":
            raise OSError("the simulator is gone")
        self.clock += 1
        rewards = {agent: float(action) for agent, action in actions.items()}
        if self.trouble == "reward":
            rewards["cow"] = float("inf")
        ends = {agent: agent == "ant" and self.clock == 2 for agent in self.agents}
        last = {"ant": LENGTH, "bee": 3, "cow": LENGTH}
        cuts = {agent: self.clock == last[agent] for agent in self.agents}
        infos: dict[str, Any] = {agent: {} for agent in self.agents}
        seen = self.observe()
        self.agents = [a for a in self.agents if not (ends[a] or cuts[a])]
        return seen, rewards, ends, cuts, infos


def broken() -> ParallelEnv:
    raise OSError("no such simulator")
