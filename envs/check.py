"""``check_env``: whether a world keeps what every world promises, before anyone trains on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, final

import numpy as np

from envs.check_rules import Rules, check_spec, fail
from envs.section import WorldSection
from envs.world import View, WorldSpec
from qmarl.errors import QmarlError, RunError

if TYPE_CHECKING:
    from envs.world import Step, World
    from qmarl.types import Array

_COPIES = 3  # that a world is checked with where their number can be chosen
_LONGEST = 300  # steps, however long episodes are


@dataclass(frozen=True)
class CheckReport:
    """What was found in order.

    Attributes:
        name: The world's name.
        agents: Its agents.
        steps: Steps that were played in each copy.
        episodes: Episodes that ended in them.
        checked: What was checked, in words.
        notes: What is allowed, and worth knowing.
    """

    name: str
    agents: tuple[str, ...]
    steps: int
    episodes: int
    checked: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The report in lines."""
        head = f"{self.name}: {len(self.agents)} agents, {self.steps} steps, {self.episodes} ends"
        lines = [f"  ok    {text}" for text in self.checked]
        return "\n".join([head, *lines, *(f"  note  {text}" for text in self.notes)])


def check_env(env: Any, seed: int = 0, steps: int | None = None) -> CheckReport:
    """Checks a world: form, finite numbers, ends, same numbers again, and errors for bad actions.

    Args:
        env: A world, a PettingZoo or Gymnasium environment, an id, settings or a section.
        seed: Seed of the episodes that are played.
        steps: How many steps; two episodes when left out, and no more than 300.

    Returns:
        What was checked. A world by id is also checked for being the same alone as among others.

    Raises:
        RunError: The first promise that is broken, with world, agent and value.
        ConfigurationError: The environment cannot be made.

    >>> print(check_env({"id": "drone_navigation", "drones": 2, "max_steps": 5}))
    drone_navigation: 2 agents, 10 steps, 6 ends
      ok    spec, shapes, kinds, finite numbers, padding and masks
      ...
    """
    world, more = _world(env)
    try:
        return _Check(world, more, seed, steps).report()
    finally:
        world.close()


def random_actions(spec: WorldSpec, view: View, seed: int, step: int, first_env: int = 0) -> Array:
    """Draws allowed actions that depend on the seed, the step and each copy's own number alone.

    Args:
        spec: The world.
        view: What is allowed.
        seed: Seed of the actions.
        step: Number of the step.
        first_env: Global index of copy 0.

    Returns:
        ``(E, A)`` int64, or ``(E, A, C)`` float32 within [-1, 1].
    """
    count, agents, choices = view.action_mask.shape
    width = max(spec.action_sizes) if spec.continuous else choices
    streams = (np.random.default_rng((seed, step, first_env + env)) for env in range(count))
    drawn = np.stack([one.random((agents, width)) for one in streams])
    if spec.continuous:
        return (2 * drawn - 1).astype(np.float32)
    chosen: Array = np.where(view.action_mask, drawn, -1).argmax(-1)
    return chosen


class _Moment(NamedTuple):
    """What a step brought, in arrays of its own, by name."""

    arrays: dict[str, Array]
    ended: Array


@final
class _Check:
    """One run of all checks."""

    def __init__(
        self, world: World, more: Callable[[int], World] | None, seed: int, steps: int | None
    ) -> None:
        check_spec(world.spec)
        self._world, self._more, self._seed, self._spec = world, more, seed, world.spec
        self._steps = steps or min(2 * world.spec.max_steps, _LONGEST)
        self._done: list[str] = []
        self._notes: list[str] = []

    def report(self) -> CheckReport:
        """Checks everything."""
        trace = self._play(self._world, self._seed)
        self._done.append("spec, shapes, kinds, finite numbers, padding and masks")
        self._done.append("ends, autoreset, outcomes, rewards of those who are not there")
        self._again(trace)
        self._elsewhere(trace)
        self._refusals()
        self._hints(trace)
        ends = int(sum(moment.ended.sum() for moment in trace))
        done, notes = tuple(self._done), tuple(self._notes)
        return CheckReport(self._spec.name, self._spec.agents, self._steps, ends, done, notes)

    def _play(self, world: World, seed: int, first_env: int = 0) -> list[_Moment]:
        rules = Rules(world.spec, world.num_envs)
        view = world.reset(seed, first_env)
        rules.start(view)
        trace = [_moment(view, None)]
        for step in range(self._steps):
            before = _copied(view)
            actions = random_actions(world.spec, before, self._seed, step, first_env)
            result = world.step(actions)
            rules.step(before, result)
            trace.append(_moment(result.view, result))
            view = result.view
        return trace

    def _again(self, trace: list[_Moment]) -> None:
        _same(self._spec, trace, self._play(self._world, self._seed), 0, 0, "played again")
        self._done.append("the same seed and actions bring the same numbers again")

    def _elsewhere(self, trace: list[_Moment]) -> None:
        last = self._world.num_envs - 1
        if last:
            shifted = self._play(self._world, self._seed, 1)
            _same(self._spec, trace, shifted, last, last - 1, "played in another row")
            self._done.append("a world is the same in whatever row it stands (first_env)")
        if self._more is None:
            self._notes.append("whether copies depend on how many there are was not checked")
            return
        alone = self._more(1)
        try:
            self._unstarted(alone)
            played = self._play(alone, self._seed, last)
            _same(self._spec, trace, played, last, 0, "played alone")
        finally:
            alone.close()
        self._done.append("a world is the same alone as among others; reset comes before step")

    def _unstarted(self, world: World) -> None:
        actions = _still(world.spec, world.num_envs)
        text = _refused(world, actions)
        if text is None:
            fail(self._spec, "step before reset is accepted, it must raise a RunError")

    def _refusals(self) -> None:
        view = _copied(self._world.reset(self._seed))
        env, agent = np.argwhere(view.alive)[0].tolist()
        name = self._spec.agents[agent]
        for actions, what, named in _bad(self._spec, view, env, agent):
            self._world.reset(self._seed)
            text = _refused(self._world, actions)
            if text is None:
                fail(self._spec, f"{name} in world {env}: {what} is accepted as its action")
            if named and name not in text:
                fail(self._spec, f"the error for {what} does not name {name}: {text}")
        self._done.append("actions of wrong shape, kind or range are refused by name")

    def _hints(self, trace: list[_Moment]) -> None:
        seen = [moment.arrays["observations"] for moment in trace]
        if all((one == seen[0]).all() for one in seen):
            self._notes.append("what agents see never changes (do pictures need a render_mode?)")
        if not any(moment.ended.any() for moment in trace):
            self._notes.append(f"no episode ended within {self._steps} steps")
        other = self._world.reset(self._seed + 1)
        if (other.observations == seen[0]).all():
            self._notes.append("another seed begins with the same observations")


def _world(env: Any) -> tuple[World, Callable[[int], World] | None]:
    """The world to check, and what makes more of it where that is known."""
    if isinstance(env, str | Mapping | WorldSection):
        from envs.front import make, section

        found = section(env)
        return make(found, _COPIES), lambda count: make(found, count)
    if isinstance(getattr(env, "spec", None), WorldSpec):
        return env, None
    from envs.check_foreign import world_of

    return world_of(env, _LONGEST), None


def _moment(view: View, step: Step | None) -> _Moment:
    kept = vars(_copied(view))
    if step is None:
        return _Moment(kept, np.zeros(len(view.alive), bool))
    final = {f"final.{name}": array.copy() for name, array in vars(step.final).items()}
    told = {name: getattr(step, name).copy() for name in ("rewards", "terminated", "truncated")}
    return _Moment(kept | final | told, step.ended.copy())


def _copied(view: View) -> View:
    return View(**{name: array.copy() for name, array in vars(view).items()})


def _same(
    spec: WorldSpec, one: list[_Moment], two: list[_Moment], row: int, other: int, how: str
) -> None:
    """Compares world ``row`` and those after it with ``other`` and those after it."""
    for step, (first, second) in enumerate(zip(one, two, strict=True)):
        for name, array in first.arrays.items():
            here, there = array[row:], second.arrays[name][other:][: len(array) - row]
            for at in np.argwhere(here != there)[:1]:
                place = tuple(at.tolist())
                agent = spec.agents[place[1]] if "state" not in name else "the joint state"
                fail(
                    spec,
                    f"{name} of {agent} in world {row + place[0]} was {here[place]} after "
                    f"{step} steps, and {there[place]} when the same episode was {how}",
                )


def _still(spec: WorldSpec, count: int) -> Array:
    if spec.continuous:
        return np.zeros((count, len(spec.agents), max(spec.action_sizes)), np.float32)
    return np.zeros((count, len(spec.agents)), np.int64)


def _bad(spec: WorldSpec, view: View, env: int, agent: int) -> list[tuple[Array, str, bool]]:
    """Actions that must be refused, what they are, and whether the error must name the agent."""
    good = random_actions(spec, view, 0, 0)
    wide = np.concatenate([good, good[:, :1]], 1)
    cases = [(wide, f"an array of shape {wide.shape}", False)]
    values: list[float] = [np.nan, 1.5, -np.inf]
    if not spec.continuous:
        cases.append((good + 0.5, "an array of fractions", False))
        mask = view.action_mask[env, agent]
        values = [-1, len(mask), *np.flatnonzero(~mask)[:1].tolist()]
    for value in values:
        changed = good.copy()
        if spec.continuous:
            changed[env, agent, 0] = value
        else:
            changed[env, agent] = value
        cases.append((changed, f"{value}", True))
    return cases


def _refused(world: World, actions: Array) -> str | None:
    """The words with which a world refuses actions; ``None`` when it takes them."""
    try:
        world.step(actions)
    except QmarlError as error:
        return str(error)
    except Exception as error:
        raise RunError(
            f"{world.spec.name}: bad actions end in {type(error).__name__}, not in a RunError: "
            f"{error}"
        ) from error
    return None
