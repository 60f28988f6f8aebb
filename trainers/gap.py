"""The gap between two worlds: the same team, on the same episodes, here and in a simulator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from envs.flight import Flight, flight_of
from envs.mobility import MobilitySection
from trainers.evaluate import Match, play_match
from trainers.rollout import join_episodes
from trainers.statistics import bootstrap

if TYPE_CHECKING:
    from envs.registry import EnvConfig
    from envs.section import WorldSection
    from envs.world import Scene, Step, World
    from qmarl.types import Array
    from trainers.config import ExperimentConfig

_KEYS: Final = ("env.backend", "env.address", "env.airsim")
_SHOWN: Final = 4  # episodes whose trajectories are drawn
_POINTS: Final = 120  # of a trajectory that are kept for drawing


@dataclass(frozen=True)
class Outing:
    """Episodes that were flown and written down.

    Attributes:
        scores: Per episode: ``return``, ``length`` and the world's outcomes.
        flights: The same episodes as flights.
    """

    scores: dict[str, Array]
    flights: list[Flight]


def evaluated(
    there: ExperimentConfig, here: ExperimentConfig, plan: Callable[[EnvConfig], list[Match]]
) -> tuple[Outing, dict[str, Any] | None]:
    """Flies a team, and where that is in a simulator, at home too.

    Args:
        there: The experiment as it is to be evaluated.
        here: The same without the simulator.
        plan: The matches that are played in a world.

    Returns:
        What was flown, and the gap where there are two worlds.
    """
    away = fly(plan(there.env))
    if not elsewhere(there.env) or elsewhere(here.env):
        return away, None
    return away, compare(fly(plan(here.env)), away)


def elsewhere(env: WorldSection) -> bool:
    """Whether a world's bodies move in a simulator."""
    return isinstance(env, MobilitySection) and env.backend == "airsim"


def at_home(overrides: Sequence[str]) -> list[str]:
    """The overrides that do not say which simulator moves the bodies."""
    names = [text.partition("=")[0].strip() for text in overrides]
    pairs = zip(names, overrides, strict=True)
    return [
        text for name, text in pairs if not f"{name}.".startswith(tuple(f"{k}." for k in _KEYS))
    ]


def fly(played: Sequence[Match]) -> Outing:
    """Plays matches as :func:`trainers.evaluate.play` does, and writes every flight down."""
    log = _Log()
    return Outing(join_episodes([log.play(match) for match in played]), log.flights)


def compare(home: Outing, away: Outing) -> dict[str, Any]:
    """The gap, episode by episode, in plain data.

    Args:
        home: Where the team was trained.
        away: The same episodes in the simulator.

    Returns:
        ``measures``: for each of them ``home``, ``away`` and ``difference`` (away less home, of
        the same episode), each ``{mean, low, high}``; ``kept``, the share of its success that the
        team keeps; and ``episodes``, the first ones' trajectories to be drawn.
    """
    here, there = _measures(home), _measures(away)
    measures = {
        name: {
            "home": bootstrap(here[name]),
            "away": bootstrap(there[name]),
            "difference": bootstrap(there[name] - here[name]),
        }
        for name in here
        if name in there
    }
    pairs = list(zip(home.flights, away.flights, strict=True))
    measures["apart"] = {"away": bootstrap(np.array([_apart(*pair) for pair in pairs]))}
    success = here.get("success", np.zeros(1)).mean()
    kept = float(there["success"].mean() / success) if success else None
    shown = [_drawn(*pair) for pair in pairs[:_SHOWN]]
    return {"measures": measures, "kept": kept, "episodes": shown}


@final
class _Log:
    """Keeps the flights of matches, one after another."""

    def __init__(self) -> None:
        self.flights: list[Flight] = []
        self._scenes: list[Scene] = []
        self._batch: dict[int, Flight] = {}

    def play(self, match: Match) -> dict[str, Array]:
        before = len(self.flights)
        scores = play_match(match, self._see)
        self._keep()
        del self.flights[before + match.episodes :]  # copies of a last batch that were not needed
        return scores

    def _see(self, world: World, step: Step | None) -> None:
        if step is None:
            self._keep()
            self._scenes = []
        self._scenes.append(world.scene(final=step is not None))
        if step is None:
            return
        for env in np.flatnonzero(step.ended).tolist():
            if env not in self._batch:
                outcomes = {name: float(values[env]) for name, values in step.outcomes.items()}
                told = {name: value for name, value in outcomes.items() if np.isfinite(value)}
                flight = flight_of(self._scenes, world, env)
                self._batch[env] = replace(flight, outcomes=told)

    def _keep(self) -> None:
        self.flights += [self._batch[env] for env in sorted(self._batch)]
        self._batch = {}


def _measures(outing: Outing) -> dict[str, Array]:
    """What is compared, one number for each episode."""
    scores, flights = outing.scores, outing.flights
    common = ("success", "collision", "return")
    found: dict[str, Array] = {name: scores[name] for name in common if name in scores}
    found["path"] = np.array([_path(flight) for flight in flights])
    found["time"] = np.array([flight.time[-1] for flight in flights])
    return {name: values.astype(np.float64) for name, values in found.items()}


def _path(flight: Flight) -> float:
    """Metres that an agent travels, mean over agents, each up to its own end."""
    steps = np.linalg.norm(np.diff(flight.positions, axis=0), axis=-1)
    return float((steps * (flight.status[:-1] == 0)).sum(0).mean())


def _apart(here: Flight, there: Flight) -> float:
    """Metres between an agent's two flights at the same moment, mean over agents and moments."""
    count = min(here.moments, there.moments)
    offset = here.positions[:count] - there.positions[:count]
    return float(np.linalg.norm(offset, axis=-1).mean())


def _drawn(here: Flight, there: Flight) -> dict[str, Any]:
    solids = here.solids
    discs = [[x, y, r] for x, y, _, r in solids.spheres[0].tolist()]
    discs += [[x, y, r] for x, y, _, r, _ in solids.cylinders[0].tolist()]
    goals = here.goals[0]
    return {
        "arena": here.arena[:, :2].tolist(),
        "home": _lines(here),
        "away": _lines(there),
        "discs": [disc for disc in discs if disc[2] > 0],
        "boxes": [[x, y, a, b] for x, y, _, a, b, _ in solids.boxes[0].tolist() if a > 0],
        "goals": goals[np.isfinite(goals).all(-1), :2].tolist(),
        "outcomes": [dict(here.outcomes), dict(there.outcomes)],
    }


def _lines(flight: Flight) -> list[list[list[float]]]:
    """Each agent's way on the ground, thinned out."""
    chosen = np.unique(np.linspace(0, flight.moments - 1, _POINTS).round().astype(int))
    ways: list[list[list[float]]] = flight.positions[chosen, :, :2].round(3).swapaxes(0, 1).tolist()
    return ways
