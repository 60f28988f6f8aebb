from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest

from envs.batch import BatchWorld
from envs.bodies import Start
from envs.registry import make
from envs.scripted import straight
from envs.tasks.drone_layout import DroneNavigationConfig
from envs.world import CRASHED, Step, World
from qmarl.errors import RunError

SHORT = DroneNavigationConfig(max_steps=30)


def world(num_envs: int = 8, config: DroneNavigationConfig = SHORT) -> World:
    return make(config, num_envs)


def actions(steps: int, num_envs: int, agents: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 7, (steps, num_envs, agents))


def flat(step: Step) -> dict[str, np.ndarray]:
    """Every array of a step, by name."""
    arrays = {f"view.{f.name}": getattr(step.view, f.name) for f in fields(step.view)}
    arrays |= {f"final.{f.name}": getattr(step.final, f.name) for f in fields(step.final)}
    names = ("rewards", "terminated", "truncated", "ended")
    return arrays | {name: getattr(step, name) for name in names}


def test_shapes_and_types() -> None:
    w = world(5)
    view = w.reset(0)
    assert view.observations.shape == (5, 3, 12)
    assert view.state.shape == (5, w.spec.state_size) == (5, 39)
    assert view.action_mask.shape == (5, 3, 7)
    assert view.observations.dtype == view.state.dtype == np.float32
    step = w.step(np.zeros((5, 3), int))
    assert step.rewards.dtype == np.float32
    assert w.positions().shape == (5, 3, 3)
    assert step.final is step.view


@pytest.mark.parametrize("policy_seed", [0, 1])
def test_a_copy_is_the_same_whatever_the_batch_and_shard(policy_seed: int) -> None:
    # Long enough to run past the episodes that are drawn ahead.
    steps, count = 700, 6
    generator = np.random.default_rng(policy_seed)
    chosen = generator.choice(7, (steps, count, 3), p=[0.3, 0.1, 0.3, 0.1, 0.08, 0.08, 0.04])
    config = DroneNavigationConfig(max_steps=35)
    whole, alone, shard = world(count, config), world(1, config), world(2, config)
    for w, first in ((whole, 0), (alone, 3), (shard, 3)):
        w.reset(11, first)
    for t in range(steps):
        one = flat(whole.step(chosen[t]))
        for w, rows in ((alone, slice(3, 4)), (shard, slice(3, 5))):
            for name, array in flat(w.step(chosen[t, rows])).items():
                assert (array == one[name][rows]).all(), (t, name)
        assert (alone.positions() == whole.positions()[3:4]).all()


def test_same_seed_same_bytes_and_another_seed_other_worlds() -> None:
    first, second = world(), world()
    assert (first.reset(3).state == second.reset(3).state).all()
    assert (first.reset(4).state != second.reset(3).state).any()
    assert len(np.unique(first.reset(5).state[:, 0])) == 8


def test_a_reset_forgets_what_was() -> None:
    w = world()
    start = w.reset(0)
    played = [flat(w.step(a)) for a in actions(40, 8)]
    again = w.reset(0)
    assert (start.state == again.state).all()
    for before, a in zip(played, actions(40, 8), strict=True):
        for name, array in flat(w.step(a)).items():
            assert (array == before[name]).all()


def test_an_episode_that_runs_out_is_truncated_and_starts_anew() -> None:
    w = world(2)
    w.reset(0)
    hover = np.full((2, 3), 6)
    for _ in range(29):
        step = w.step(hover)
        assert not step.ended.any()
    step = w.step(hover)
    assert step.ended.all()
    assert step.truncated.all()
    assert not step.terminated.any()
    assert step.final is not step.view
    assert step.final.alive.all()
    assert (step.final.observations != 0).any()
    assert (step.final.state != step.view.state).any(1).all()
    assert np.isnan(step.outcomes["time_to_goal"]).all()
    assert (step.outcomes["success"] == 0).all()
    assert not w.step(hover).ended.any()


def test_termination_and_truncation_over_many_flights() -> None:
    w = make(DroneNavigationConfig(), 64)
    view = w.reset(0)
    lengths, over = np.zeros(64, int), 0
    for _ in range(400):
        before = view.alive
        step = w.step(straight(view))
        lengths += 1
        assert not (step.terminated & step.truncated).any()
        assert not ((step.terminated | step.truncated) & ~before).any()
        assert (step.rewards[~before] == 0).all()
        gone = step.terminated | step.truncated
        assert (step.ended == ~(before & ~gone).any(1)).all()
        assert (step.view.alive == np.where(step.ended[:, None], True, before & ~gone)).all()
        assert (step.final.observations[~step.final.alive] == 0).all()
        assert (step.final.alive == (before & ~step.terminated)).all()
        assert (lengths[step.truncated.any(1)] == 100).all()
        if step.ended.any():
            won, hit = step.outcomes["success"], step.outcomes["collision"]
            assert not (won * hit)[step.ended].any()
            over += int((step.ended & step.terminated.any(1)).sum())
            untouched = ~step.ended
            assert (step.view.state[untouched] == step.final.state[untouched]).all()
        lengths[step.ended] = 0
        view = step.view
    assert over > 100


def test_only_those_who_still_fly_are_truncated() -> None:
    w = make(DroneNavigationConfig(), 32)
    view, mixed = w.reset(0), 0
    for _ in range(100):
        chosen = straight(view)
        chosen[:, 1:] = 6  # only the first one flies
        before = view.alive
        step = w.step(chosen)
        assert (step.truncated == (before & ~step.terminated & step.ended[:, None])).all()
        mixed += int((step.truncated.any(1) & ~step.truncated.all(1)).sum())
        view = step.view
    assert mixed > 10


def test_steps_do_not_change_what_was_handed_out() -> None:
    w = world()
    view = w.reset(0)
    copies = {f.name: getattr(view, f.name).copy() for f in fields(view)}
    for a in actions(35, 8):
        w.step(a)
    for name, copy in copies.items():
        assert (getattr(view, name) == copy).all()


def test_observations_and_state_stay_within_one() -> None:
    w = make(DroneNavigationConfig(drones=4), 32)
    view = w.reset(2)
    for a in actions(120, 32, 4):
        view = w.step(a).view
        assert np.abs(view.observations).max() <= 1.001
        assert np.abs(view.state).max() <= 1.001


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.zeros((8, 2), int), r"shape \(8, 3\).*\(8, 2\)"),
        (np.zeros((8, 3)), "float64"),
        (np.full((8, 3), 7), "drone_0 in world 0 chose action 7"),
        (np.full((8, 3), -1), r"action -1, allowed are \[0, 1, 2, 3, 4, 5, 6\]"),
    ],
)
def test_bad_actions_are_refused(bad: np.ndarray, words: str) -> None:
    w = world()
    w.reset(0)
    with pytest.raises(RunError, match=words):
        w.step(bad)


def test_actions_of_the_dead_are_ignored() -> None:
    one, other = world(16, DroneNavigationConfig()), world(16, DroneNavigationConfig())
    view, _ = one.reset(0), other.reset(0)
    ignored = 0
    for _ in range(60):
        chosen = straight(view)
        nonsense = np.where(view.alive, chosen, 99)
        ignored += int((~view.alive).sum())
        step, twin = one.step(chosen), other.step(nonsense)
        assert (step.view.state == twin.view.state).all()
        view = step.view
    assert ignored > 0


def test_stepping_before_a_reset_is_refused() -> None:
    with pytest.raises(RunError, match="reset"):
        world().step(np.zeros((8, 3), int))


class _Spoiled:
    """A backend that loses a number in one step."""

    def __init__(self, spoil: Callable[["_Spoiled"], None]) -> None:
        config = DroneNavigationConfig()
        built = make(config, 4)
        assert isinstance(built, BatchWorld)
        self.world, self.inner, self.spoil = built, built._backend, spoil
        built._backend = self

    @property
    def position(self) -> np.ndarray:
        return self.inner.position

    @property
    def velocity(self) -> np.ndarray:
        return self.inner.velocity

    @property
    def heading(self) -> np.ndarray:
        return self.inner.heading

    @property
    def draws(self) -> int:
        return self.inner.draws

    def place(self, rows: np.ndarray, start: Start, uniform: np.ndarray) -> None:
        self.inner.place(rows, start, uniform)

    def advance(self, command: np.ndarray, moving: np.ndarray) -> None:
        self.inner.advance(command, moving)
        self.spoil(self)

    def close(self) -> None:
        self.inner.close()


def test_a_number_that_is_not_finite_names_world_agent_and_value() -> None:
    def spoil(backend: _Spoiled) -> None:
        backend.velocity[2, 1, 0] = np.nan

    w = _Spoiled(spoil).world
    w.reset(0)
    with pytest.raises(RunError, match=r"an observation of drone_1 in world 2 is nan"):
        w.step(np.zeros((4, 3), int))


def test_the_final_scene_shows_how_an_episode_ended() -> None:
    w = make(DroneNavigationConfig(), 16)
    view, crashes = w.reset(0), 0
    for _ in range(80):
        step = w.step(straight(view))
        now, last = w.scene(), w.scene(final=True)
        running = ~step.ended
        assert (last.positions[running] == now.positions[running]).all()
        assert (now.time[step.ended] == 0).all()
        assert (last.time[step.ended] > 0).all()
        hit = (last.status == CRASHED).any(1)
        if step.ended.any():
            assert (hit == (step.outcomes["collision"] > 0)).all()
            crashes += int(hit[step.ended].sum())
        view = step.view
    assert crashes > 0
