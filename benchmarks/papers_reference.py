"""Scores the papers' games without learning: what chance, rules and the best possible play get.

Run ``python benchmarks/papers_reference.py``: it prints a table and writes
``benchmarks/scores/papers_reference.json``. Every number follows from the seed below. A ceiling
is exact, and a bound is what nothing exceeds; everything else has a 95 % interval of its mean over
the episodes.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from envs.scripted import Policy, at_random, play
from envs.tasks import cartpole_pair as poles
from envs.tasks import chsh
from envs.tasks import coin_game as coins
from envs.tasks import single_hop_offloading as hop
from envs.tasks import two_step_game as steps
from envs.tasks.chsh import ChshConfig
from envs.tasks.coin_game import CoinGameConfig
from envs.tasks.coin_scripted import ceiling, collector, optimal
from envs.world import View, World
from qmarl.types import Array

EPISODES, ROUNDS, SEED = 20_000, 200_000, 30_000
SCORES = Path(__file__).parent / "scores" / "papers_reference.json"


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        game: Name and settings.
        policy: What played.
        metric: What was counted.
        mean: Its mean over the episodes, or the exact value.
        low: Lower end of the 95 % interval of the mean.
        high: Its upper end.
        episodes: How many were played; 0 for an exact value.
    """

    game: str
    policy: str
    metric: str
    mean: float
    low: float
    high: float
    episodes: int


def played(
    game: str, name: str, world: World, policy: Policy, metrics: tuple[str, ...]
) -> list[Row]:
    """Plays one episode in every copy; intervals are normal, over thousands of episodes."""
    found, rows = play(world, policy, SEED), []
    for metric in metrics:
        known = found[metric][np.isfinite(found[metric])]
        mean, half = known.mean(), 1.96 * known.std(ddof=1) / math.sqrt(len(known))
        mean, low, high = (round(float(x), 4) for x in (mean, mean - half, mean + half))
        rows.append(Row(game, name, metric, mean, low, high, len(known)))
    return rows


def exact(game: str, name: str, metric: str, value: float) -> Row:
    """A value that is known, not measured."""
    rounded = round(value, 4)
    return Row(game, name, metric, rounded, rounded, rounded, 0)


def angles_at_random(view: View) -> Array:
    """Continuous actions, drawn evenly."""
    generator = np.random.default_rng(SEED)
    return generator.uniform(-1, 1, (*view.alive.shape, 1)).astype(np.float32)


def offloading() -> Iterator[Row]:
    """Single-hop offloading: chance, the best fixed joint action, two rules."""
    game = "single_hop_offloading"
    world = hop.make(hop.SingleHopOffloadingConfig(), EPISODES)
    policies = {
        "random": at_random(SEED),
        "static split 1 0 3 2": hop.fixed((1, 0, 3, 2)),
        "best static {} {} {} {}".format(*(best := best_static())): hop.fixed(best),
        "heuristic, each alone": hop.homes,
        "greedy, central": hop.greedy,
    }
    for name, policy in policies.items():
        yield from played(game, name, world, policy, ("return", "overflow", "empty"))
    yield exact(game, "bound", "return", 0.0)


def best_static() -> tuple[int, ...]:
    """The fixed joint action with the best return over a thousand other episodes."""
    world = hop.make(hop.SingleHopOffloadingConfig(), 1000)
    joint = itertools.product(range(4), repeat=4)
    return max(joint, key=lambda a: play(world, hop.fixed(a), SEED + 1)["return"].mean())


def coin_games() -> Iterator[Row]:
    """CoinGame-2 and CoinGame-4: chance, a rule, and the exact optimum of two."""
    metrics = ("score", "coins_collected", "own_coins_collected", "own_coin_rate")
    for agents, length in itertools.product((2, 4), (50, 150)):
        game = f"coin_game, {agents} agents, {length} steps"
        config = CoinGameConfig(agents=agents, max_steps=length)
        policies = {"random": at_random(SEED), "heuristic, each alone": collector(config)}
        if agents == 2:
            policies["optimal, endless"] = optimal(config)
        for name, policy in policies.items():
            yield from played(game, name, coins.make(config, EPISODES // 2), policy, metrics)
        if agents == 2:
            yield exact(game, "ceiling", "score", ceiling(config))


def chsh_games() -> Iterator[Row]:
    """CHSH with and without pairs, and with noisy ones."""
    yield exact("chsh", "classical ceiling", "win_rate", chsh.CLASSICAL_CEILING)
    yield exact("chsh", "quantum ceiling", "win_rate", chsh.QUANTUM_CEILING)
    plain = ChshConfig(actions="answers", entangled_pairs=False)
    games = {
        "chsh, answers": plain,
        "chsh, lone qubits": ChshConfig(entangled_pairs=False),
        "chsh, pairs": ChshConfig(),
        "chsh, pairs psi-": ChshConfig(pair="psi-"),
        "chsh, pairs, continuous": ChshConfig(actions="continuous"),
        "chsh, pairs, visibility 0.8": ChshConfig(visibility=0.8),
        "chsh, pairs, visibility 0.7071": ChshConfig(visibility=math.sqrt(0.5)),
    }
    for game, config in games.items():
        chance = angles_at_random if config.actions == "continuous" else at_random(SEED)
        for name, policy in (("random", chance), ("optimal", chsh.best(config))):
            yield from played(game, name, chsh.make(config, ROUNDS), policy, ("win_rate",))


def two_steps() -> Iterator[Row]:
    """The two-step game: chance, the safe choice and the right one."""
    world = steps.make(steps.TwoStepGameConfig(), EPISODES)
    policies = {
        "random": at_random(SEED),
        "greedy, safe": steps.always(0),
        "optimal": steps.always(1),
    }
    for name, policy in policies.items():
        yield from played("two_step_game", name, world, policy, ("payoff", "optimal"))


def cart_poles() -> Iterator[Row]:
    """Two cart-poles: chance, a rule, and one that never lets them fall."""
    world = poles.make(poles.CartpolePairConfig(), EPISODES // 10)
    policies = {"random": at_random(SEED), "greedy": poles.leaning, "optimal": poles.balancing}
    for name, policy in policies.items():
        yield from played("cartpole_pair", name, world, policy, ("balanced",))


def main() -> None:
    """Scores everything, prints and writes."""
    rows = [*offloading(), *coin_games(), *chsh_games(), *two_steps(), *cart_poles()]
    results: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for row in rows:
        policies = results.setdefault(row.game, {})
        values = {"mean": row.mean, "low": row.low, "high": row.high, "episodes": row.episodes}
        policies.setdefault(row.policy, {})[row.metric] = values
        span = f"[{row.low:.4f}, {row.high:.4f}]" if row.episodes else "exact"
        print(f"{row.game:34} {row.policy:24} {row.metric:20} {row.mean:9.4f}  {span}")
    SCORES.write_text(json.dumps({"seed": SEED, "scores": results}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
