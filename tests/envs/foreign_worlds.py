"""Small foreign environments for the tests of what brings them in."""

import os
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from pettingzoo import AECEnv, ParallelEnv

NUMBER = 3


class Caravan(ParallelEnv):
    """Three unlike agents: ``ant`` dies in step 2, ``bee`` is cut in step 3, ``cow`` goes on."""

    metadata = {"name": "caravan"}  # noqa: RUF012 - PettingZoo's own convention

    def __init__(self, spoil: str = "", length: int = 5) -> None:
        self.possible_agents = ["ant", "bee", "cow"]
        self.agents: list[str] = []
        self.spoil, self.length, self.seeds, self.moves = spoil, length, [], []
        masked = {"observation": Box(-9, 9, (2,)), "action_mask": MultiBinary(3)}
        self.seen = {"ant": Box(-9, 9, (2, 2)), "bee": Dict(masked), "cow": Discrete(3)}
        self.acts = {"ant": Discrete(2), "bee": Discrete(3), "cow": Discrete(4, start=10)}

    def observation_space(self, agent: str) -> Any:
        return self.seen[agent]

    def action_space(self, agent: str) -> Any:
        return self.acts[agent]

    def observe(self) -> dict[str, Any]:
        late = self.spoil == "restart" and len(self.seeds) > 2
        bad = np.nan if late or (self.spoil == "observation" and self.clock == 1) else 0
        seen = {
            "ant": np.full((2, 2), self.clock + bad, np.float32),
            "bee": {
                "observation": np.array([self.clock, -1], np.float32),
                "action_mask": np.array([1, 0, 1], np.int8),
            },
            "cow": self.clock % 3,
        }
        return {agent: seen[agent] for agent in self.agents}

    def state(self) -> np.ndarray:
        if self.spoil != "state":
            raise NotImplementedError
        return np.array([np.nan])

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.clock, self.agents = 0, list(self.possible_agents)
        self.seeds.append(seed)  # the first one is the adapter's look at a first episode
        return self.observe(), {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, int]) -> Any:
        assert set(actions) == set(self.agents) or self.spoil == "forget"
        if self.spoil == "raise":
            raise RuntimeError("a wheel came off")
        self.clock += 1
        self.moves.append(actions)
        seen = self.observe()
        bad = np.inf if self.spoil == "reward" else 0
        rewards = {agent: float(self.clock) for agent in self.agents} | {"cow": 1 + bad}
        ends = {agent: agent == "ant" and self.clock == 2 for agent in self.agents}
        cuts = {
            agent: (agent == "bee" and self.clock == 3) or self.clock == self.length
            for agent in self.agents
        }
        infos = {agent: {"milk": 2.0} if agent == "cow" else {} for agent in self.agents}
        if self.spoil != "forget":
            self.agents = [a for a in self.agents if not (ends[a] or cuts[a])]
        return seen, rewards, ends, cuts, infos


class Faulty(Caravan):
    """Breaks the API in the way that ``spoil`` names."""

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        if self.spoil == "reset" and len(self.seeds) > 1:
            raise RuntimeError("no runway")
        seen, infos = super().reset(seed, options)
        if self.spoil == "nobody":
            self.agents = []
        return seen, infos

    def step(self, actions: Any) -> Any:
        seen, rewards, ends, cuts, infos = super().step(actions)
        if self.spoil == "length" and "ant" in seen:
            seen["ant"] = np.zeros(3, np.float32)
        if self.spoil == "huge" and "ant" in seen:
            seen["ant"] = np.full((2, 2), 1e300)
        if self.spoil == "blind":
            del seen["cow"]
        if self.spoil == "unpaid":
            del rewards["cow"]
        if self.spoil == "words":
            rewards["cow"] = "plenty"
        if self.spoil == "vanish":
            self.agents.remove("cow")
        if self.spoil == "stranger":
            self.agents.append("dog")
        if self.spoil == "mask" and "bee" in seen:
            seen["bee"]["action_mask"] = np.ones(2, np.int8)
        if self.spoil == "kind":
            seen["cow"] = 7
        if self.spoil == "list":
            infos = []
        told = seen, rewards, ends, cuts, infos
        return told[:-1] if self.spoil == "short" else told


class Guests(ParallelEnv):
    """``host`` is there from the start, ``guest`` from step 2 on; ``host`` goes in step 3."""

    metadata = {"name": "guests"}  # noqa: RUF012 - PettingZoo's own convention

    def __init__(self) -> None:
        self.possible_agents = ["host", "guest"]
        self.agents: list[str] = []
        self.space, self.acts = Box(0, 9, (1,), np.float32), Discrete(2)

    def observation_space(self, agent: str) -> Any:
        return self.space

    def action_space(self, agent: str) -> Any:
        return self.acts

    def observe(self) -> Any:
        return {agent: np.array([self.clock + 1], np.float32) for agent in self.agents}

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.clock, self.agents = 0, ["host"]
        return self.observe(), {agent: {} for agent in self.agents}

    def step(self, actions: Any) -> Any:
        assert set(actions) == set(self.agents)
        self.clock += 1
        if self.clock == 2:
            self.agents = ["host", "guest"]
        seen, acted = self.observe(), list(self.agents)
        ends = {agent: agent == "host" and self.clock == 3 for agent in acted}
        cuts = dict.fromkeys(acted, self.clock == 6)
        self.agents = [agent for agent in acted if not (ends[agent] or cuts[agent])]
        rewards = dict.fromkeys(acted, float(self.clock))
        return seen, rewards, ends, cuts, {agent: {} for agent in acted}


class Nim(AECEnv):
    """Two players take 1 or 2 of 5 matches in turn; who takes the last one wins."""

    metadata = {"name": "nim", "is_parallelizable": False}  # noqa: RUF012 - likewise

    def __init__(self, numbers: bool = False) -> None:
        super().__init__()
        self.possible_agents = ["ann", "bob"]
        seen = {"observation": Box(0, 5, (1,)), "action_mask": MultiBinary(2)}
        self.spaces = Dict(seen)
        self.acts = Box(0, 1, (1,), np.float32) if numbers else Discrete(2)
        self.seeds: list[Any] = []

    def observation_space(self, agent: str) -> Any:
        return self.spaces

    def action_space(self, agent: str) -> Any:
        return self.acts

    def reset(self, seed: int | None = None, options: Any = None) -> None:
        self.agents, self.left = list(self.possible_agents), 5
        self.seeds.append(seed)
        self.agent_selection = self.agents[0]
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, Any] = {agent: {} for agent in self.agents}

    def observe(self, agent: str) -> Any:
        mask = np.array([self.left >= 1, self.left >= 2], np.int8)
        return {"observation": np.array([self.left], np.float32), "action_mask": mask}

    def step(self, action: Any) -> None:
        mover = self.agent_selection
        if self.terminations[mover]:
            self._was_dead_step(action)
            return
        self.left -= int(action) + 1
        other = next(agent for agent in self.agents if agent != mover)
        if self.left == 0:
            self.rewards = {mover: 1.0, other: -1.0}
            self.terminations = dict.fromkeys(self.agents, True)
        self.agent_selection = other


class Zoo(ParallelEnv):
    """One agent that sees and does what it is told to, and keeps what it did."""

    metadata = {"name": "zoo"}  # noqa: RUF012 - likewise

    def __init__(self, seen: Any, acts: Any, shown: Any = None, state: Any = None) -> None:
        self.possible_agents, self.agents = ["ape"], []
        self.seen, self.acts, self.shown = seen, acts, shown
        self.moves: list[Any] = []
        self.state_space = state

    def observation_space(self, agent: str) -> Any:
        return self.seen

    def action_space(self, agent: str) -> Any:
        return self.acts

    def observe(self) -> Any:
        return {"ape": self.seen.sample() if self.shown is None else self.shown}

    def state(self) -> Any:
        if self.state_space is None:
            raise NotImplementedError
        return self.state_space.sample()

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.agents = ["ape"]
        return self.observe(), {"ape": {}}

    def step(self, actions: Any) -> Any:
        self.moves.append(actions["ape"])
        flags = {"ape": False}
        return self.observe(), {"ape": 0.0}, flags, flags, {"ape": {}}


class Fragile(Caravan):
    """Kills its own process in step ``doom``."""

    def __init__(self, doom: int) -> None:
        super().__init__()
        self.doom = doom

    def step(self, actions: Any) -> Any:
        if self.clock + 1 == self.doom:
            os._exit(7)
        return super().step(actions)


def talker() -> ParallelEnv:
    env = Caravan()
    env.acts["cow"] = Box(-1, 1, (2,))
    return env


def gridder() -> ParallelEnv:
    env = Caravan()
    env.seen["cow"] = MultiDiscrete([2, 3])
    env.observe = lambda: {**Caravan.observe(env), "cow": np.array([1, 2])}
    return env


def broken() -> ParallelEnv:
    raise OSError("no such\n simulator")


def plain() -> object:
    return object()


def nim_of_numbers() -> AECEnv:
    return Nim(numbers=True)
