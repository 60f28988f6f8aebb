"""``check_env`` finds what is wrong with a world: each breakage on purpose, none in good ones."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from foreign_worlds import Caravan, Guests, Nim, Zoo
from gymnasium.spaces import Box, Discrete

from envs import check_env
from envs.check import random_actions
from envs.guard import check_actions
from envs.world import Step, View, WorldSpec
from qmarl.errors import ConfigurationError, RunError
from qmarl.seeding import uniforms

SPEC = WorldSpec("field", ("ant", "bee"), (2, 1), (2, 3), 2, 4, ("milk",))
OWN = np.array([[[1, 1, 0], [1, 1, 1]]], bool)


class Field:
    """A good world of two unlike agents: ``ant`` dies in step 2, ``bee`` is cut in step 4."""

    def __init__(self, num_envs: int = 3, spec: WorldSpec = SPEC) -> None:
        self.num_envs, self.spec, self.started = num_envs, spec, False

    def reset(self, seed: int, first_env: int = 0) -> View:
        self.seed, self.envs = seed, first_env + np.arange(self.num_envs)
        self.clock, self.episode, self.started = 0, 0, True
        return self.look()

    def numbers(self) -> np.ndarray:
        episodes = np.full(self.num_envs, self.episode)
        return uniforms(self.seed, self.envs, episodes, 8)[:, self.clock :][:, :2]

    def look(self, bee: bool = True) -> View:
        count, ant = self.num_envs, self.clock < 2
        seen = np.zeros((count, 2, 2), np.float32)
        seen[:, 0] = self.numbers() * ant
        seen[:, 1, 0] = self.clock * bee
        alive = np.tile([ant, bee], (count, 1))
        return View(seen, self.numbers().astype(np.float32), alive, OWN | ~alive[..., None])

    def step(self, actions: Any) -> Step:
        if not self.started:
            raise RunError("field: reset comes before step")
        before = self.look()
        chosen = check_actions(actions, before.alive, before.action_mask, self.spec)
        self.clock += 1
        final, none = self.look(), np.zeros((self.num_envs, 2), bool)
        rewards = (chosen * before.alive).astype(np.float32)
        over, cut = none.copy(), none.copy()
        over[:, 0], cut[:, 1] = self.clock == 2, self.clock == 4
        ended = np.full(self.num_envs, self.clock == 4)
        if not ended.any():
            return Step(final, final, rewards, over, cut, ended)
        self.clock, self.episode = 0, self.episode + 1
        return Step(self.look(), final, rewards, over, cut, ended, {"milk": np.ones(self.num_envs)})

    def close(self) -> None:
        pass


def broken(
    change: Callable[[Field, Step], Step], view: Callable[[Any], View] | None = None
) -> Field:
    """A field whose steps, and the views of its resets, are changed."""

    class Broken(Field):
        def step(self, actions: Any) -> Step:
            return change(self, super().step(actions))

        def reset(self, seed: int, first_env: int = 0) -> View:
            first = super().reset(seed, first_env)
            return view(first) if view else first

    return Broken()


def spoilt(name: str, place: tuple[Any, ...], value: Any, at: int | None = None) -> Field:
    """A field in which one entry of a step's array is another one, in step ``at`` or always."""

    def change(field: Field, step: Step) -> Step:
        if at is not None and field.clock != at % 4:
            return step
        holder = step.final if name.startswith("final.") else step
        own = name.removeprefix("final.")
        array = getattr(holder, own).copy()
        array[place] = value
        if holder is step:
            return replace(step, **{own: array})
        final = replace(step.final, **{own: array})
        view = final if step.view is step.final else step.view
        return replace(step, final=final, view=view)

    return broken(change)


def shaped(name: str, make: Callable[[np.ndarray], Any]) -> Field:
    return broken(lambda _, step: replace(step, **{name: make(getattr(step, name))}))


def test_a_good_world_passes_and_says_what_was_checked() -> None:
    report = check_env(Field(), steps=20)
    assert report.name == "field"
    assert report.agents == ("ant", "bee")
    assert report.steps == 20
    assert report.episodes == 15
    assert len(report.checked) == 5
    assert "  ok    ends, autoreset" in str(report)


BREAKAGES = {
    "float64 rewards": (shaped("rewards", np.float64), "step.rewards must be float32"),
    "a column missing": (shaped("terminated", lambda a: a[:, :1]), r"step.terminated .* \(3, 1\)"),
    "whole numbers": (shaped("truncated", lambda a: a.astype(int)), "truncated must be bool"),
    "a list": (shaped("ended", lambda a: a.tolist()), "step.ended must be bool .*, is list"),
    "nan": (
        spoilt("final.observations", (1, 1, 0), np.nan, 1),
        "of bee in world 1 is nan",
    ),
    "inf": (spoilt("rewards", (2, 1), np.inf), "a reward of bee in world 2 is inf"),
    "state": (spoilt("final.state", (0, 1), np.nan, 2), "the joint state in world 0 is nan"),
    "padding": (spoilt("final.observations", (0, 1, 1), 3, 1), "bee in world 0: .* padding"),
    "a ghost sees": (spoilt("final.observations", (0, 0, 0), 3, 3), "ant in world 0: .*not zero"),
    "a ghost's mask": (
        spoilt("final.action_mask", (2, 0, 0), False, 3),
        "ant in world 2: .*all tr",
    ),
    "nothing allowed": (
        spoilt("final.action_mask", (1, 1), False, 1),
        "bee in world 1: .*may not",
    ),
    "too much allowed": (
        spoilt("final.action_mask", (0, 0, 2), True, 1),
        "ant .*its mask allows",
    ),
    "both ends": (
        spoilt("truncated", (1, 0), True, 2),
        "ant in world 1: is both",
    ),
    "a second death": (
        spoilt("terminated", (0, 0), True, 3),
        "ant .* and is terminated or",
    ),
    "pay for the dead": (
        spoilt("rewards", (0, 0), 1, 3),
        "ant .* and is rewarded",
    ),
    "dead and alive": (
        spoilt("terminated", (0, 1), True, 1),
        "bee .*: is terminated, and alive",
    ),
    "vanished": (spoilt("terminated", (0, 0), False, 2), "ant in world 0: is no longer alive"),
    "ended early": (spoilt("ended", (1,), True, 1), "world 1 has ended, and an agent goes on"),
    "never ended": (spoilt("ended", (1,), False, 4), "world 1 has not ended, and no agent is left"),
    "outcomes": (
        broken(lambda _, step: replace(step, outcomes={})),
        r"step.outcomes has \[\], the spec names \['milk'\]",
    ),
    "their shape": (
        broken(lambda _, s: replace(s, outcomes={n: v[:1] for n, v in s.outcomes.items()})),
        r"outcome milk has shape \(1,\), must be \(3,\)",
    ),
    "their size": (
        broken(lambda _, s: replace(s, outcomes={n: v * np.inf for n, v in s.outcomes.items()})),
        "outcome milk is infinite",
    ),
    "a dull start": (
        broken(lambda _, s: s, lambda view: replace(view, alive=np.zeros((3, 2), bool))),
        "reset: .*is not alive, and its row is not zero",
    ),
    "view and final": (
        broken(lambda _, s: replace(s, view=replace(s.view, alive=np.ones((3, 2), bool)))),
        "mask|alive in step.view or final alone",
    ),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_each_breakage_is_found(name: str) -> None:
    world, words = BREAKAGES[name]
    with pytest.raises(RunError, match=f"^field: .*{words}"):
        check_env(world, steps=12)


class Dice(Field):
    """Its numbers are not the seed's."""

    def numbers(self) -> np.ndarray:
        return np.random.default_rng().random((self.num_envs, 2))


class Crowd(Field):
    """Its numbers depend on the row that a world stands in."""

    def numbers(self) -> np.ndarray:
        return super().numbers() + np.arange(self.num_envs)[:, None]


class Endless(Field):
    """Goes on after its last step."""

    def __init__(self) -> None:
        super().__init__(spec=replace(SPEC, max_steps=3))


class Deaf(Field):
    """Takes any action."""

    def step(self, actions: Any) -> Step:
        return super().step(np.zeros((self.num_envs, 2), int))


class Rough(Field):
    """Refuses actions with an error of NumPy's."""

    def step(self, actions: Any) -> Step:
        OWN[0, np.arange(2), actions]
        return super().step(actions)


class Mute(Field):
    """Does not say whose action is wrong."""

    def step(self, actions: Any) -> Step:
        try:
            return super().step(actions)
        except RunError:
            raise RunError("field: bad actions") from None


@pytest.mark.parametrize(
    ("world", "words"),
    [
        (Dice(), "observations of ant in world 0 was .* when the same episode was played again"),
        (Crowd(), "was .* when the same episode was played in another row"),
        (Endless(), "world 0 goes on after the 3 steps of spec.max_steps"),
        (Deaf(), "an array of shape .* is accepted"),
        (Rough(), "bad actions end in IndexError, not in a RunError"),
        (Mute(), "the error for -1 does not name ant: field: bad actions"),
    ],
)
def test_each_bad_habit_is_found(world: Field, words: str) -> None:
    with pytest.raises(RunError, match=f"^field: .*{words}"):
        check_env(world, steps=12)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"agents": ()}, "spec.agents must be one or more different names"),
        ({"agents": ("ant", "ant")}, "different names"),
        ({"observation_sizes": (2,)}, "observation_sizes has 1 entries for 2 agents"),
        ({"observation_sizes": (2, 0)}, "bee sees 0 numbers"),
        ({"action_counts": (2, 0)}, "bee has 0 choices and 0 numbers"),
        ({"action_sizes": (1, 1)}, "ant has 2 choices and 1 numbers"),
        ({"action_sizes": (1,)}, "action_sizes has 1 entries"),
        ({"max_steps": 0}, "max_steps is 0"),
    ],
)
def test_a_spec_that_contradicts_itself_is_found(change: dict[str, Any], words: str) -> None:
    with pytest.raises(RunError, match=words):
        check_env(Field(spec=replace(SPEC, **change)))


def test_a_world_by_id_is_also_played_alone() -> None:
    report = check_env("drone_navigation", steps=20)
    assert "a world is the same alone as among others; reset comes before step" in report.checked


@pytest.mark.parametrize("env", [Caravan(length=5), Guests(), Nim()])
def test_foreign_objects_can_be_checked(env: Any) -> None:
    report = check_env(env, steps=20)
    assert report.name == type(env).__name__
    assert report.agents == tuple(env.possible_agents)


def test_a_foreign_object_that_breaks_the_rules_is_told() -> None:
    with pytest.raises(RunError, match="Caravan: an observation of ant in world 0 is nan"):
        check_env(Caravan("observation"), steps=20)

    class Loose(Zoo):
        def action_space(self, agent: str) -> Any:
            return Discrete(2)

    with pytest.raises(RunError, match="Loose: action_space of ape is another object at every"):
        check_env(Loose(Discrete(2), Discrete(2)))


def test_what_is_no_environment_is_told() -> None:
    with pytest.raises(ConfigurationError, match="made a int, which is no PettingZoo"):
        check_env(3)
    with pytest.raises(ConfigurationError, match="nearest world is 'drone_navigation'"):
        check_env("drone_nav")


def test_what_is_worth_knowing_is_noted() -> None:
    still = Zoo(Box(0, 1, (1,)), Discrete(2), shown=np.array([0.5], np.float32))
    notes = check_env(still, steps=5).notes
    assert any("never changes" in note for note in notes)
    assert any("no episode ended" in note for note in notes)
    assert any("another seed" in note for note in notes)


def test_random_actions_belong_to_each_world() -> None:
    view, alone = Field(3).reset(0), Field(1).reset(0, 2)
    drawn = [random_actions(SPEC, view, 4, step) for step in range(40)]
    assert {tuple(d[0]) for d in drawn} == {(a, b) for a in range(2) for b in range(3)}
    again = [random_actions(SPEC, alone, 4, step, 2) for step in range(40)]
    assert all((one[2] == other[0]).all() for one, other in zip(drawn, again, strict=True))
    numbers = replace(SPEC, action_sizes=(1, 2), action_counts=(0, 0))
    free = replace(view, action_mask=np.ones((3, 2, 0), bool))
    found = random_actions(numbers, free, 0, 0)
    assert found.shape == (3, 2, 2)
    assert found.dtype == np.float32
    assert (np.abs(found) <= 1).all()
    assert found.min() < 0 < found.max()
