import numpy as np
import pytest

from envs.drawing.board import MatchArtist
from envs.drawing.coins import rewards
from envs.drawing.palette import colour, rgb
from envs.flight import Match, Recorder, record
from envs.render import artist, drawable
from envs.scripted import at_random
from envs.tasks import cartpole_pair, coin_game, two_step_game
from envs.tasks.cartpole_pair import CartpolePairConfig
from envs.tasks.coin_game import CoinGameConfig
from envs.tasks.two_step_game import TwoStepGameConfig
from qmarl.errors import RunError


def match(*boards: list[list[int]]) -> Match:
    agents = tuple(f"agent_{at}" for at in range(len(boards[0]) - 1))
    return Match("coin_game", agents, np.array(boards), ("score",))


def where(picture: np.ndarray, index: int) -> tuple[float, float]:
    """Mean row and column of what has an agent's colour on the grid."""
    found = np.abs(picture[40:, :430] / 255 - rgb(colour(index))).max(-1) < 0.06
    rows, columns = np.nonzero(found)
    return float(rows.mean()), float(columns.mean())


def test_agents_and_coin_lie_in_their_cells() -> None:
    game = match([[0, 0, 0], [2, 0, 1], [1, 2, 1]], [[0, 1, 0], [2, 0, 1], [1, 2, 1]])
    hand = MatchArtist(game)
    first, second = hand.draw(0), hand.draw(1)
    cell = 400 / 3
    down, across = np.subtract(where(second, 0), where(first, 0))
    assert down == pytest.approx(-cell, abs=3)  # north is up
    assert across == pytest.approx(0, abs=3)
    # Of colour 1 are an agent to the right at the bottom, and a coin in the middle at the top.
    row, column = where(first, 1)
    left, bottom = where(first, 0)[::-1]
    assert left + cell < column < left + 2 * cell
    assert bottom - 2 * cell < row < bottom
    assert (hand.draw(0) == first).all()


def test_a_crowd_shares_a_cell() -> None:
    together = MatchArtist(match([[1, 1, 0], [1, 1, 1], [1, 1, 1]])).draw(0)
    one, other = where(together, 0), where(together, 1)
    assert np.hypot(*np.subtract(one, other)) > 10
    assert np.hypot(*np.subtract(one, other)) < 400 / 3


@pytest.mark.parametrize("agents", [2, 4])
def test_scores_are_told_by_the_boards(agents: int) -> None:
    world = coin_game.make(CoinGameConfig(agents=agents, size=3, max_steps=40), 2)
    policy, view = at_random(1), world.reset(7)
    recorder, brought = Recorder(world, env=1), []
    recorder.begin()
    for _ in range(40):
        step = world.step(policy(view))
        recorder.watch(step)
        view = step.view
        brought.append(step.rewards[1])
    found = recorder.recording()
    assert isinstance(found, Match)
    assert (rewards(found)[1:] == np.array(brought)).all()
    assert np.abs(brought).sum() > 0
    assert found.outcomes["score"] == rewards(found).sum()


def test_carts_move_and_poles_lean() -> None:
    boards = np.zeros((3, 2, 4))
    boards[1, 0, 0], boards[2, 1, 2] = 1.0, 0.2
    hand = MatchArtist(Match("cartpole_pair", ("a", "b"), boards))
    still, moved, leaning = (hand.draw(moment)[40:].astype(int) for moment in range(3))
    middle = still.shape[1] // 2
    assert where(moved, 0)[1] - where(still, 0)[1] == pytest.approx(62, abs=3)
    assert (moved[:, middle:] == still[:, middle:]).all()
    assert (leaning[:, :middle] == still[:, :middle]).all()
    assert (leaning[:, middle:] != still[:, middle:]).any()


def test_cart_poles_are_recorded_to_their_end() -> None:
    world = cartpole_pair.make(CartpolePairConfig(max_steps=15), 1)
    found = record(world, at_random(0), seed=0)
    assert isinstance(found, Match)
    assert found.boards.shape == (found.moments, 2, 4)
    assert found.outcomes == {"balanced": found.moments - 1}
    assert artist(found).draw(-1 % found.moments).shape[2] == 3


def test_games_without_boards_cannot_be_drawn() -> None:
    world = two_step_game.make(TwoStepGameConfig(), 1)
    with pytest.raises(RunError, match="two_step_game cannot be drawn"):
        record(world, at_random(0), seed=0)
    assert not drawable(world.spec)
    assert drawable(coin_game.make(CoinGameConfig(), 1).spec)
    with pytest.raises(RunError, match="chess: nobody knows how to draw its board"):
        artist(Match("chess", ("white", "black"), np.zeros((1, 8, 8))))
