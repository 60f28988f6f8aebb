"""Collecting experience: a pure function from parameters and a seed to a trajectory.

It needs NumPy alone when the policies are compiled programs, so that a rollout worker is small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from pydantic import TypeAdapter

from agents.heads import LOG_STD
from agents.samplers import CategoricalSampler, GaussianSampler, Sampler
from envs.registry import EnvConfig, make
from qmarl.seeding import seed_for, stream
from qmarl.types import Array, Params, Trajectory
from trainers.stopwatch import Stopwatch

if TYPE_CHECKING:
    from agents.actor import Act, Policy
    from envs.world import Step, View, World


@dataclass(frozen=True)
class Seat:
    """Where a group of agents sits on the agent axis, and how it acts.

    Attributes:
        members: Indices of the group's agents.
        policy: The acting half of its actor.
        inputs: Numbers that its widest agent sees; the rest of an observation is padding.
        actions: Largest number of choices of its agents, or of numbers in their actions.
        sizes: Numbers in each member's continuous action; empty where actions are choices.
    """

    members: tuple[int, ...]
    policy: Policy
    inputs: int
    actions: int
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Shard:
    """A part of the worlds, collected as one unit of work.

    Attributes:
        env: The env section.
        num_envs: Number ``E`` of worlds in this part.
        first_env: Global index of its first world.
        steps: Length ``T`` of the rollout.
        seats: The groups by name.
        clock_round: Round whose random streams are used.
        seed: Seed of the run, or of the client.
    """

    env: EnvConfig
    num_envs: int
    first_env: int
    steps: int
    seats: Mapping[str, Seat]
    clock_round: int
    seed: int


def collect(
    shard: Shard, params: Mapping[str, Params], watch: Stopwatch | None = None
) -> Trajectory:
    """Plays one rollout.

    Args:
        shard: What to play.
        params: For each group its actors' parameters, with a leading stack axis.
        watch: Told of the time that ``worlds`` and ``circuits`` take; the rest is drawing actions
            and keeping what was seen.
    """
    watch = watch or Stopwatch()
    world = _world(shard.env.model_dump_json(), shard.num_envs)
    team = Team(shard.seats, params)
    view = world.reset(seed_for(shard.seed, "env", shard.clock_round), shard.first_env)
    rng = stream(shard.seed, "act", shard.clock_round, shard.first_env)
    shape = (shard.steps, *view.alive.shape, team.width)
    recorder = _Recorder(shape, view, team.sampler)
    noise = team.sampler.noise(rng, shape)
    watch.lap("worlds")
    for t in range(shard.steps):
        outputs = team.outputs(view)
        watch.lap("circuits")
        actions = team.sampler.draw(outputs, noise[t])
        recorder.before(t, view, outputs, actions)
        performed = team.sampler.performed(actions)
        watch.lap("record")
        step = world.step(performed)
        watch.lap("worlds")
        recorder.after(t, step)
        view = step.view
        watch.lap("record")
    return recorder.trajectory(view)


class Team:
    """Every group's policy with its parameters bound, as one function of all agents' views.

    Args:
        seats: The groups by name.
        params: Their actors' parameters.

    Attributes:
        sampler: How outputs become actions.
        width: Outputs ``N`` of the agent with the most.
    """

    def __init__(self, seats: Mapping[str, Seat], params: Mapping[str, Params]) -> None:
        self._groups = [_Bound.of(seat, params[name]) for name, seat in seats.items()]
        self.sampler = _sampler(seats, params)
        self.width = max(seat.actions for seat in seats.values())

    def act(self, view: View, rng: np.random.Generator | None = None) -> Array:
        """What all agents do: ``(E, A)`` choices, or ``(E, A, N)`` numbers in [-1, 1].

        Args:
            view: What they see.
            rng: Draws from the policies; without it the likeliest actions are taken.
        """
        outputs = self.outputs(view)
        if rng is None:
            return self.sampler.performed(self.sampler.mode(outputs))
        noise = self.sampler.noise(rng, outputs.shape)
        return self.sampler.performed(self.sampler.draw(outputs, noise))

    def outputs(self, view: View) -> Array:
        """Outputs ``(E, A, N)`` of all agents for what they see; those without effect are blank."""
        outputs = np.full((*view.alive.shape, self.width), self.sampler.blank)
        for group in self._groups:
            seat = group.seat
            seen = view.observations[:, seat.members, : seat.inputs]
            outputs[:, seat.members, : seat.actions] = group.outputs(seen)
        return self.sampler.masked(outputs, view.action_mask)


def _sampler(seats: Mapping[str, Seat], params: Mapping[str, Params]) -> Sampler:
    """All agents of a world are of one kind: they choose, or they give numbers."""
    if not any(seat.sizes for seat in seats.values()):
        return CategoricalSampler()
    agents = sum(len(seat.members) for seat in seats.values())
    shape = (agents, max(seat.actions for seat in seats.values()))
    log_std, counts = np.zeros(shape), np.zeros(shape, bool)
    for name, seat in seats.items():
        log_std[seat.members, : seat.actions] = params[name][LOG_STD]
        sizes = np.array(seat.sizes)[:, None]
        counts[seat.members, : seat.actions] = np.arange(seat.actions) < sizes
    return GaussianSampler(log_std, counts)


@dataclass(frozen=True)
class _Bound:
    """A group's policy with its parameters."""

    seat: Seat
    act: Act
    stacks: int

    @classmethod
    def of(cls, seat: Seat, params: Params) -> _Bound:
        return cls(seat, seat.policy.bind(params), len(next(iter(params.values()))))

    def outputs(self, seen: Array) -> Array:
        """Outputs ``(E, a, n)`` of the group's ``a`` agents for what they see ``(E, a, d)``."""
        envs, agents, inputs = seen.shape
        if self.stacks == 1:  # one model for all: agents are more worlds to it
            return self.act(seen.reshape(1, -1, inputs)).reshape(envs, agents, -1)
        return self.act(seen.swapaxes(0, 1)).swapaxes(0, 1)


class _Recorder:
    """Fills a trajectory step by step, and keeps the episodes' scores."""

    def __init__(self, shape: tuple[int, ...], view: View, sampler: Sampler) -> None:
        self._sampler = sampler
        steps, envs, agents, _ = shape
        self._observations = np.empty((steps, *view.observations.shape), np.float32)
        self._state = np.empty((steps, *view.state.shape), np.float32)
        self._mask = np.empty(shape, bool)
        self._outputs = np.empty(shape, np.float64)
        self._actions: list[Array] = []
        self._rewards = np.empty(shape[:3], np.float32)
        self._alive, self._terminated, self._truncated = np.empty((3, *shape[:3]), bool)
        self._cuts: list[tuple[int, Array, Array, Array]] = []
        self._returns = np.zeros((envs, agents))
        self._lengths = np.zeros(envs, np.int64)
        self._episodes: list[dict[str, Array]] = []

    def before(self, t: int, view: View, outputs: Array, actions: Array) -> None:
        """Keeps what was seen and done."""
        self._observations[t], self._state[t] = view.observations, view.state
        self._mask[t], self._alive[t] = self._sampler.allowed(view.action_mask), view.alive
        self._outputs[t] = outputs
        self._actions.append(actions)

    def after(self, t: int, step: Step) -> None:
        """Keeps what came of it."""
        self._rewards[t] = step.rewards
        self._terminated[t], self._truncated[t] = step.terminated, step.truncated
        self._returns += step.rewards
        self._lengths += 1
        if step.truncated.any():
            self._cut(t, np.flatnonzero(step.truncated.any(1)), step.final)
        if step.ended.any():
            self._finish(np.flatnonzero(step.ended), step)

    def _cut(self, t: int, envs: Array, view: View) -> None:
        self._cuts.append((t, envs, view.observations[envs].copy(), view.state[envs].copy()))

    def _finish(self, envs: Array, step: Step) -> None:
        scores = {"return": self._returns[envs].mean(1), "length": self._lengths[envs]}
        self._episodes.append(scores | {k: v[envs] for k, v in step.outcomes.items()})
        self._returns[envs], self._lengths[envs] = 0.0, 0

    def trajectory(self, view: View) -> Trajectory:
        """Closes the rollout: living agents are cut where it ends."""
        last = len(self._rewards) - 1
        ends = self._terminated[last] | self._truncated[last]
        cut = self._alive[last] & ~ends
        self._truncated[last] |= cut
        if cut.any():
            self._cut(last, np.flatnonzero(cut.any(1)), view)
        steps, envs, observations, state = _joined(self._cuts, view)
        actions = np.stack(self._actions)
        return Trajectory(
            observations=self._observations,
            state=self._state,
            actions=actions,
            log_probs=self._sampler.log_prob(self._outputs, actions).astype(np.float32),
            rewards=self._rewards,
            terminated=self._terminated,
            truncated=self._truncated,
            alive=self._alive,
            action_mask=self._mask,
            cut_steps=steps,
            cut_envs=envs,
            cut_observations=observations,
            cut_state=state,
            episodes=join_episodes(self._episodes),
        )


def _joined(
    cuts: Sequence[tuple[int, Array, Array, Array]], view: View
) -> tuple[Array, Array, Array, Array]:
    if not cuts:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, view.observations[:0], view.state[:0]
    steps = np.concatenate([np.full(len(envs), t) for t, envs, _, _ in cuts])
    _, envs, observations, state = zip(*cuts, strict=True)
    return steps, np.concatenate(envs), np.concatenate(observations), np.concatenate(state)


def join_episodes(episodes: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Puts per-episode arrays of several sources one after another."""
    names = episodes[0] if episodes else ()
    return {name: np.concatenate([part[name] for part in episodes]) for name in names}


_BY_CUT = ("cut_steps", "cut_observations", "cut_state")
_BY_WORLD = (
    "observations",
    "state",
    "actions",
    "log_probs",
    "rewards",
    "terminated",
    "truncated",
    "alive",
    "action_mask",
)


def join(parts: Sequence[Trajectory]) -> Trajectory:
    """Puts shards of worlds side by side, in their order."""
    if len(parts) == 1:
        return parts[0]
    offsets = np.cumsum([0, *(part.rewards.shape[1] for part in parts)])
    fields = {name: np.concatenate([getattr(p, name) for p in parts], 1) for name in _BY_WORLD}
    fields |= {name: np.concatenate([getattr(p, name) for p in parts]) for name in _BY_CUT}
    envs = [part.cut_envs + first for part, first in zip(parts, offsets[:-1], strict=True)]
    episodes = join_episodes([part.episodes for part in parts if part.episodes])
    return Trajectory(**fields, cut_envs=np.concatenate(envs), episodes=episodes)


@lru_cache(maxsize=8)  # building a world can be slow; it is reset before every use
def _world(env: str, num_envs: int) -> World:
    config: EnvConfig = TypeAdapter(EnvConfig).validate_json(env)
    return make(config, num_envs)
