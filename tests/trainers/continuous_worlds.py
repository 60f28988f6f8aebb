"""A small world with continuous actions, for the proofs: bring your numbers to 0."""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.world import Step, View, WorldSpec
from qmarl.seeding import stream


class Approach:
    """Every agent sees its own numbers and moves each by its action times ``gain``.

    The reward of a step is minus the mean square of what is left, and one step with a gain of 1 is
    a bandit: answer with what you see. Actions outside of [-1, 1] are an error.

    Args:
        num_envs: Copies.
        sizes: Numbers of each agent.
        steps: Length of an episode.
        gain: How far an action of 1 moves a number.
    """

    def __init__(self, num_envs: int, sizes: tuple[int, ...], steps: int, gain: float) -> None:
        self.num_envs, self.sizes, self.steps, self.gain = num_envs, sizes, steps, gain
        self.counts = np.arange(max(sizes)) < np.array(sizes)[:, None]
        self.spec = WorldSpec(
            name="approach",
            agents=tuple(f"point_{i}" for i in range(len(sizes))),
            observation_sizes=sizes,
            action_counts=(0,) * len(sizes),
            state_size=len(sizes) * max(sizes),
            max_steps=steps,
            action_sizes=sizes,
        )
        self.given: list[np.ndarray] = []

    def reset(self, seed: int, first_env: int = 0) -> View:
        self.seed, self.first_env, self.episode = seed, first_env, 0
        return self.begin()

    def begin(self) -> View:
        copies = range(self.first_env, self.first_env + self.num_envs)
        streams = [stream(self.seed, "approach", copy, self.episode) for copy in copies]
        drawn = [one.uniform(-0.9, 0.9, self.counts.shape) for one in streams]
        self.left, self.clock = np.array(drawn) * self.counts, 0
        return self.view()

    def view(self) -> View:
        seen = self.left.astype(np.float32)
        everyone = np.ones(seen.shape[:2], bool)
        return View(
            seen, seen.reshape(len(seen), -1), everyone, np.ones((*seen.shape[:2], 0), bool)
        )

    def step(self, actions: np.ndarray) -> Step:
        assert (actions.shape, actions.dtype) == (self.left.shape, np.float32)
        assert np.abs(actions).max() <= 1
        self.given.append(actions)
        self.left, self.clock = self.left - self.gain * actions * self.counts, self.clock + 1
        rewards = -(self.left**2).sum(-1).astype(np.float32) / np.array(self.sizes, np.float32)
        over = self.clock == self.steps
        final = self.view()
        if over:
            self.episode += 1
        view = self.begin() if over else final
        cut = np.full(rewards.shape, over)
        return Step(view, final, rewards, np.zeros_like(cut), cut, cut[:, 0])

    def close(self) -> None:
        pass


def install(monkeypatch: Any, sizes: tuple[int, ...], steps: int = 1, gain: float = 1.0) -> None:
    """Makes every world of this test an :class:`Approach`."""
    from trainers import build, evaluate, rollout, runs

    def make(config: Any, num_envs: int | None = None) -> Approach:
        return Approach(config.num_envs if num_envs is None else num_envs, sizes, steps, gain)

    for module in (build, evaluate, rollout, runs):
        monkeypatch.setattr(module, "make", make)
    # The cache of built worlds lives longer than a test.
    monkeypatch.setattr(rollout, "_world", lambda env, num_envs: make(None, num_envs))
