import itertools
import math

import numpy as np
import pytest

from envs.scripted import play
from envs.tasks.chsh import (
    CLASSICAL_CEILING,
    QUANTUM_CEILING,
    ChshConfig,
    answers,
    best,
    best_angles,
    correlation,
    make,
    win_probability,
)

BELL = {"phi+": (1, 0, 0, 1), "phi-": (1, 0, 0, -1), "psi+": (0, 1, 1, 0), "psi-": (0, 1, -1, 0)}
GRID = 2 * math.pi * np.arange(8) / 8


def config(**settings: object) -> ChshConfig:
    return ChshConfig.model_validate(settings)


def turned(angle: float) -> np.ndarray:
    """Z turned by an angle in the x-z plane, an observable with values +1 and -1."""
    return np.array([[np.cos(angle), np.sin(angle)], [np.sin(angle), -np.cos(angle)]])


@pytest.mark.parametrize("pair", BELL)
@pytest.mark.parametrize("visibility", [1.0, 0.6])
def test_correlations_are_those_of_the_state(pair: str, visibility: float) -> None:
    state = np.array(BELL[pair]) / math.sqrt(2)
    density = visibility * np.outer(state, state) + (1 - visibility) * np.eye(4) / 4
    game = config(pair=pair, visibility=visibility)
    for a, b in np.random.default_rng(0).uniform(-4, 4, (20, 2)):
        wanted = np.trace(density @ np.kron(turned(a), turned(b)))
        assert float(correlation(game, np.array(a), np.array(b))) == pytest.approx(wanted)


@pytest.mark.parametrize("actions", ["angles", "continuous"])
def test_answers_are_as_often_as_the_state_says(actions: str) -> None:
    # Few angles of each kind, in many worlds: what is won is what the exact formula says.
    game = config(actions=actions, pair="psi+", visibility=0.9)
    world, generator = make(game, 40_000), np.random.default_rng(0)
    for _ in range(3):
        angles = generator.choice(GRID, (2, 2))
        table = np.rint(angles / (math.pi / 4)).astype(np.int64)
        questions = world.reset(int(generator.integers(1000))).observations.argmax(-1)
        chosen = table[np.arange(2), questions]
        if actions == "continuous":
            numbers = ((chosen + 4) % 8 - 4) / 4
            chosen = numbers[..., None].astype(np.float32)
        won = world.step(chosen).rewards[:, 0].mean()
        wanted = win_probability(game, *angles)
        assert won == pytest.approx(wanted, abs=4 * 0.5 / math.sqrt(40_000))


def test_questions_are_fair_and_rewards_follow_the_rule() -> None:
    world = make(config(actions="answers", entangled_pairs=False, max_steps=3), 8000)
    view, generator = world.reset(0), np.random.default_rng(0)
    wins = np.zeros(8000)
    for t in range(3):
        questions = view.observations.argmax(-1)
        counts = np.bincount(questions @ (2, 1), minlength=4)
        assert (np.abs(counts - 2000) < 5 * math.sqrt(2000)).all()
        assert (view.state.reshape(8000, 2, 2) == view.observations).all()
        chosen = generator.integers(0, 2, (8000, 2))
        step = world.step(chosen)
        won = (chosen[:, 0] ^ chosen[:, 1]) == questions.min(1)
        assert (step.rewards == won[:, None]).all()
        assert step.terminated.all() == (t == 2)
        wins += won
        view = step.view
    assert not step.truncated.any()
    assert np.allclose(step.outcomes["win_rate"], wins / 3)


@pytest.mark.parametrize("settings", [{}, {"pair": "psi-", "visibility": 0.8}])
def test_nothing_can_be_signalled(settings: dict[str, object]) -> None:
    """How often an agent answers 1 does not follow from the other one's angle."""
    count = 30_000
    chance = np.random.default_rng(3).random((count, 2))
    for joint in itertools.product((0, 1, 5), range(0, 8, 2)):
        found = answers(config(**settings), np.tile(joint, (count, 1)), chance)
        assert (np.abs(found.mean(0) - 0.5) < 4 * 0.5 / math.sqrt(count)).all()


def test_no_strategy_without_pairs_wins_more_than_three_of_four() -> None:
    wins = []
    for strategy in itertools.product((0, 1), repeat=4):
        first, second = strategy[:2], strategy[2:]
        cases = itertools.product((0, 1), repeat=2)
        wins.append(sum((first[x] ^ second[y]) == (x & y) for x, y in cases) / 4)
    assert max(wins) == CLASSICAL_CEILING
    alone = config(entangled_pairs=False)
    most = max(
        win_probability(alone, np.array(a), np.array(b))
        for a in itertools.product(GRID, repeat=2)
        for b in itertools.product(GRID, repeat=2)
    )
    assert most == pytest.approx(CLASSICAL_CEILING)


@pytest.mark.parametrize("pair", BELL)
def test_no_angles_beat_tsirelsons_bound_and_the_best_ones_meet_it(pair: str) -> None:
    game = config(pair=pair)
    assert win_probability(game, *best_angles(game)) == pytest.approx(QUANTUM_CEILING)
    tries = np.random.default_rng(0).uniform(-math.pi, math.pi, (3000, 2, 2))
    assert max(win_probability(game, a, b) for a, b in tries) < QUANTUM_CEILING


def test_noise_takes_the_gain_at_one_over_root_two() -> None:
    def most(visibility: float) -> float:
        game = config(visibility=visibility)
        return win_probability(game, *best_angles(game))

    assert most(1 / math.sqrt(2)) == pytest.approx(CLASSICAL_CEILING)
    assert most(0.8) == pytest.approx(0.5 + 0.8 * math.sqrt(2) / 4)
    assert most(0.0) == 0.5


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"pair": pair, "actions": actions}, QUANTUM_CEILING)
        for pair, actions in [*((p, "angles") for p in BELL), ("psi+", "continuous")]
    ]
    + [
        ({"entangled_pairs": False}, CLASSICAL_CEILING),
        ({"entangled_pairs": False, "actions": "continuous"}, CLASSICAL_CEILING),
        ({"entangled_pairs": False, "actions": "answers"}, CLASSICAL_CEILING),
        ({"visibility": 0.9}, 0.5 + 0.9 * math.sqrt(2) / 4),
    ],
)
def test_the_best_policy_wins_what_it_should(settings: dict[str, object], wanted: float) -> None:
    game = config(max_steps=5, **settings)
    won = play(make(game, 4000), best(game), 0)["win_rate"].mean()
    assert won == pytest.approx(wanted, abs=4 * math.sqrt(wanted * (1 - wanted) / 20_000))
