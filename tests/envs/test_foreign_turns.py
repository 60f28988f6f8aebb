"""Games in which agents take turns, and agents that come late."""

import numpy as np
import pettingzoo
import pytest
from foreign_worlds import Nim
from pettingzoo.utils.conversions import parallel_to_aec

from envs.check import check_env
from envs.front import make
from envs.world import World
from qmarl.errors import ConfigurationError, RunError

NIM = {"id": "foreign_worlds:Nim", "max_steps": 5}


def test_who_waits_may_only_wait() -> None:
    world = make(NIM, 1)
    view = world.reset(0)
    assert view.alive[0].all()
    assert view.action_mask[0].tolist() == [[True, True], [True, False]]
    step = world.step(np.array([[1, 0]]))
    assert step.view.observations[0, :, 0].tolist() == [3, 3]
    assert step.view.action_mask[0].tolist() == [[True, False], [True, True]]
    with pytest.raises(RunError, match=r"ann in world 0 chose action 1, allowed are \[0\]"):
        world.step(np.array([[1, 1]]))


def test_both_are_rewarded_for_the_last_move() -> None:
    world = make(NIM, 2)
    world.reset(0)
    for moves in ([1, 0], [0, 1]):
        step = world.step(np.array([moves] * 2))
        assert not step.ended.any()
        assert (step.rewards == 0).all()
    assert step.view.action_mask[0].tolist() == [[True, False], [True, False]]  # one is left
    step = world.step(np.array([[0, 0]] * 2))
    assert step.rewards.tolist() == [[1, -1]] * 2
    assert step.terminated.all()
    assert step.ended.all()
    assert step.view.observations[0, :, 0].tolist() == [5, 5]


def test_our_own_limit_counts_turns() -> None:
    world = make({**NIM, "max_steps": 2}, 1)
    world.reset(0)
    assert not world.step(np.array([[0, 0]])).ended.any()
    step = world.step(np.array([[0, 0]]))
    assert step.truncated.all()
    assert step.ended.all()


def test_turns_with_numbers_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="agents take turns and act by numbers"):
        make({**NIM, "id": "foreign_worlds:nim_of_numbers"}, 1)


def play(world: World) -> list[list[float]]:
    view, seen = world.reset(4), []
    for step in range(8):
        view = world.step(np.full(view.alive.shape, step % 5)).view
        seen.append(view.observations.ravel().tolist())
    return seen


def aec_spread() -> pettingzoo.AECEnv:
    from mpe2 import simple_spread_v3

    return parallel_to_aec(simple_spread_v3.parallel_env(N=2, max_cycles=6))


def test_who_may_as_well_move_at_once_does() -> None:
    turned = make({"id": f"{__name__}:aec_spread"}, 2)
    settings = {"N": 2, "max_cycles": 6}
    straight = make({"id": "mpe2.simple_spread_v3:parallel_env", "kwargs": settings}, 2)
    assert play(turned) == play(straight)
    own = make({"id": "mpe2.simple_spread_v3:env", "kwargs": settings}, 2)
    assert own.spec.max_steps == 6
    assert play(own) == play(straight)


@pytest.mark.parametrize(("name", "steps"), [("tictactoe-v3", 9), ("connect_four-v3", 42)])
def test_board_games_by_their_id(name: str, steps: int) -> None:
    report = check_env({"id": f"classic/{name}", "max_steps": steps})
    assert report.episodes >= 3
    assert report.agents[0].startswith("player")


def test_a_game_keeps_its_own_thing_called_state() -> None:
    assert make("classic/rps-v2", 1).spec.state_size == 0


def test_an_agent_may_come_late() -> None:
    world = make({"id": "foreign_worlds:Guests", "max_steps": 9}, 1)
    view = world.reset(0)
    assert view.alive.tolist() == [[True, False]]
    steps = [world.step(np.zeros((1, 2), int)) for _ in range(7)]
    assert [s.view.alive[0].tolist() for s in steps[:6]] == [
        [True, False],
        [True, True],
        [False, True],
        [False, True],
        [False, True],
        [True, False],
    ]
    assert [s.rewards[0].tolist() for s in steps[1:4]] == [[2, 0], [3, 3], [0, 4]]
    assert steps[1].final.observations[0].tolist() == [[3], [3]]
    assert steps[2].terminated[0].tolist() == [True, False]
    assert steps[5].truncated[0].tolist() == [False, True]
    assert [bool(s.ended[0]) for s in steps] == [False] * 5 + [True, False]


def test_seeds_reach_a_game_of_turns() -> None:
    one, other = Nim(), Nim()
    from envs.adapters import PettingZooWorld
    from envs.pettingzoo_source import PettingZooConfig
    from envs.sources import TurnSource

    for env, first in ((one, 0), (other, 1)):
        PettingZooWorld(PettingZooConfig(**NIM), 1, TurnSource(env)).reset(3, first)
    assert one.seeds[-1] != other.seeds[-1]
