"""What a world promises, rule by rule; each broken one is told with agent, world and value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, final

import numpy as np

from envs.guard import check_finite
from envs.world import WorldSpec
from qmarl.errors import RunError

if TYPE_CHECKING:
    from envs.world import Step, View
    from qmarl.types import Array


def fail(spec: WorldSpec, text: str) -> NoReturn:
    """Raises the ``RunError`` that a check ends with."""
    raise RunError(f"{spec.name}: {text}")


def check_spec(spec: Any) -> None:
    """Refuses a spec whose parts do not fit together.

    Args:
        spec: What ought to be a :class:`envs.world.WorldSpec`.

    Raises:
        RunError: It is none, or parts of it contradict each other.
    """
    if not isinstance(spec, WorldSpec):
        raise RunError(f"spec is a {type(spec).__name__}, not a WorldSpec")
    count = len(spec.agents)
    if not count or len(set(spec.agents)) < count:
        fail(spec, f"spec.agents must be one or more different names, are {spec.agents}")
    for name in ("observation_sizes", "action_counts"):
        if len(getattr(spec, name)) != count:
            fail(spec, f"spec.{name} has {len(getattr(spec, name))} entries for {count} agents")
    if spec.action_sizes and len(spec.action_sizes) != count:
        fail(spec, f"spec.action_sizes has {len(spec.action_sizes)} entries for {count} agents")
    sizes = spec.action_sizes or (0,) * count
    for at, agent in enumerate(spec.agents):
        if spec.observation_sizes[at] < 1:
            fail(spec, f"{agent} sees {spec.observation_sizes[at]} numbers, it must see 1 or more")
        if (spec.action_counts[at] > 0) == (sizes[at] > 0) or (sizes[at] > 0) != spec.continuous:
            fail(
                spec,
                f"{agent} has {spec.action_counts[at]} choices and {sizes[at]} numbers to act by; "
                "all agents must have one or all the other",
            )
    if spec.max_steps < 1:
        fail(spec, f"spec.max_steps is {spec.max_steps}, it must be 1 or more")


@final
class Rules:
    """The rules of one world.

    Args:
        spec: What is fixed about it.
        count: Number ``E`` of its copies.
    """

    def __init__(self, spec: WorldSpec, count: int) -> None:
        self._spec = spec
        agents = count, len(spec.agents)
        self._shapes = {
            "observations": (*agents, max(spec.observation_sizes)),
            "state": (count, spec.state_size),
            "alive": agents,
            "action_mask": (*agents, max(spec.action_counts)),
            "rewards": agents,
            "terminated": agents,
            "truncated": agents,
            "ended": (count,),
        }
        self._padding: Array = np.arange(max(spec.observation_sizes)) >= _column(
            spec.observation_sizes
        )
        self._beyond: Array = np.arange(max(spec.action_counts)) >= _column(spec.action_counts)
        self._lengths = np.zeros(count, np.int64)

    def start(self, view: View) -> None:
        """Checks the view that ``reset`` returned."""
        self._lengths[:] = 0
        self._look(view, "reset")
        self._inhabited(view, np.ones(len(view.alive), bool), "reset")

    def step(self, before: View, step: Step) -> None:
        """Checks a step.

        Args:
            before: What was seen before it.
            step: What it brought.
        """
        for name in ("rewards", "terminated", "truncated", "ended"):
            self._array(name, getattr(step, name), f"step.{name}")
        check_finite(step.final, step.rewards, self._spec)
        self._look(step.final, "step.final")
        if step.view is not step.final:
            self._look(step.view, "step.view")
        self._ends(before, step)
        self._turns(step)
        self._outcomes(step)
        self._length(step.ended)

    def _array(self, name: str, value: Any, where: str) -> None:
        kind = "float32" if name in ("observations", "state", "rewards") else "bool"
        shape = self._shapes[name]
        if not isinstance(value, np.ndarray) or value.dtype != kind or value.shape != shape:
            got = getattr(value, "dtype", type(value).__name__), np.shape(value)
            fail(self._spec, f"{where} must be {kind} of shape {shape}, is {got[0]} of {got[1]}")

    def _look(self, view: View, where: str) -> None:
        for name in ("observations", "state", "alive", "action_mask"):
            self._array(name, getattr(view, name), f"{where}: {name}")
        check_finite(view, np.zeros(1, np.float32), self._spec)
        seen, alive, mask = view.observations, view.alive, view.action_mask
        self._none((seen != 0).any(-1) & ~alive, f"{where}: is not alive, and its row is not zero")
        self._none(((seen != 0) & self._padding).any(-1), f"{where}: its padding is not zero")
        if self._spec.continuous:
            return
        self._none(~mask.all(-1) & ~alive, f"{where}: is not alive, and its mask is not all true")
        self._none(~mask.any(-1) & alive, f"{where}: may not do anything")
        late = (mask & self._beyond).any(-1) & alive
        self._none(late, f"{where}: its mask allows actions that it does not have")

    def _ends(self, before: View, step: Step) -> None:
        over, cut, was = step.terminated, step.truncated, before.alive
        self._none(over & cut, "is both terminated and truncated")
        self._none((over | cut) & ~was, "was not alive, and is terminated or truncated")
        self._none((step.rewards != 0) & ~was, "was not alive, and is rewarded")
        self._none(over & step.final.alive, "is terminated, and alive in step.final")
        gone = was & ~over & ~step.final.alive
        self._none(gone, "is no longer alive in step.final, and was neither terminated nor cut")
        goes_on: Array = np.asarray((step.final.alive & ~cut).any(1))
        for env in np.flatnonzero(step.ended == goes_on)[:1]:
            word, text = ("", "goes on") if goes_on[env] else ("not ", "is left")
            who = "an agent" if goes_on[env] else "no agent"
            fail(self._spec, f"world {env} has {word}ended, and {who} {text}")

    def _turns(self, step: Step) -> None:
        """What is seen next: a new episode where one ended, otherwise what ``final`` shows."""
        view, final, on = step.view, step.final, ~step.ended
        self._inhabited(view, step.ended, "step.view, after its episode ended")
        staying = final.alive & ~step.truncated & on[:, None]
        self._none((view.alive != staying) & on[:, None], "is alive in step.view or final alone")
        unlike = (view.observations != final.observations).any(-1) & staying
        self._none(unlike, "sees one thing in step.view and another in step.final, mid-episode")

    def _inhabited(self, view: View, rows: Array, where: str) -> None:
        for env in np.flatnonzero(rows & ~view.alive.any(1))[:1]:
            fail(self._spec, f"{where}: no agent is alive in world {env}")

    def _outcomes(self, step: Step) -> None:
        wanted = set(self._spec.outcomes) if step.ended.any() else set(step.outcomes)
        if set(step.outcomes) != wanted:
            found = sorted(step.outcomes)
            fail(self._spec, f"step.outcomes has {found}, the spec names {sorted(wanted)}")
        for name, values in step.outcomes.items():
            if np.shape(values) != step.ended.shape:
                shape = np.shape(values)
                fail(self._spec, f"outcome {name} has shape {shape}, must be {step.ended.shape}")
            if np.isinf(values[step.ended]).any():
                fail(self._spec, f"outcome {name} is infinite")

    def _length(self, ended: Array) -> None:
        self._lengths += 1
        for env in np.flatnonzero(~ended & (self._lengths >= self._spec.max_steps))[:1]:
            steps = self._spec.max_steps
            fail(self._spec, f"world {env} goes on after the {steps} steps of spec.max_steps")
        self._lengths[ended] = 0

    def _none(self, broken: Array, text: str) -> None:
        for env, agent in np.argwhere(broken)[:1]:
            fail(self._spec, f"{self._spec.agents[agent]} in world {env}: {text}")


def _column(sizes: tuple[int, ...]) -> Array:
    return np.array(sizes)[:, None]
