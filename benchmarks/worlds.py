"""Measures worlds in env-steps per CPU-second: what moves by itself, whole worlds, and others'.

    python benchmarks/worlds.py            # the whole table, some minutes
    python benchmarks/worlds.py --quick    # less exact; nothing is written
    python benchmarks/worlds.py --pyflyt PYTHON    # PyFlyt too, by an interpreter that has it

One process and one thread. An env-step moves all agents of one world by one decision. Candidates
are interleaved in random order and judged by the median of their CPU time a step, so quote the
ratios: seconds depend on the machine and on its other guests. Actions are drawn beforehand, at
random; whole worlds end and begin anew as they do in training. Worlds of other projects are
measured where they are installed. Results go to benchmarks/scores/worlds.json.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", SDL_VIDEODRIVER="dummy")

import argparse
import importlib
import importlib.util
import json
import subprocess
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from circuits import compare
from pydantic import ValidationError

from envs.backends.bicycle import Bicycle, BicycleConfig
from envs.backends.point import PointBackend, PointConfig
from envs.backends.quad6dof import Quad6Dof, Quad6DofConfig
from envs.backends.randomisation import RandomisationConfig
from envs.backends.wind import WindConfig
from envs.batch import Backend
from envs.bodies import Start
from envs.mobility import MobilitySection
from envs.registry import ENVS, make
from envs.section import WorldSection
from qmarl.errors import ConfigurationError

SCORES = Path("benchmarks/scores/worlds.json")
SIZES, AGENTS, PLANNED = (1, 32, 1024), 4, 64
TEAMS = ("drones", "vehicles", "agents", "pursuers")
WANTED = {
    ("point", 32): 5e5,
    ("point", 1024): 1e6,
    ("quad6dof", 32): 9e3,
    ("quad6dof", 1024): 7.5e4,
}
"""Least env-steps per CPU-second of the dynamics alone, with four agents."""
OTHERS = {
    "mpe2 simple_spread_v3, 4 agents": ("mpe2.simple_spread_v3", {"N": AGENTS}),
    "pettingzoo cooperative_pong_v6": ("pettingzoo.butterfly.cooperative_pong_v6", {}),
}

PYFLYT = f"""
import time
from PyFlyt.pz_envs.quadx_envs.ma_quadx_hover_env import MAQuadXHoverEnv
import numpy as np
env = MAQuadXHoverEnv(start_pos=np.array([[i, 0.0, 2.0] for i in range({AGENTS})]))
env.reset(seed=0)
rates = []
for _ in range(5):
    begun, steps = time.process_time(), 0
    while time.process_time() - begun < 2:
        env.step({{agent: env.action_space(agent).sample() for agent in env.agents}})
        steps += 1
        if not env.agents:
            env.reset()
    rates.append(steps / (time.process_time() - begun))
print(sorted(rates)[2])
"""
"""Runs in the other interpreter: one decision is 1/40 s there."""

Call = Callable[[], Any]


def backends(size: int) -> dict[str, Backend]:
    """What moves, with four bodies in each world."""
    shape, arena = (size, AGENTS), np.array([[-500] * 3, [500] * 3], np.float32)
    wind, spread = WindConfig(speed=3), RandomisationConfig(mass=(0.8, 1.2), latency=2)
    windy, quad = PointConfig(drag=0.3), Quad6DofConfig()
    return {
        "point": PointBackend(PointConfig(), shape, arena),
        "point, wind and randomisation": PointBackend(windy, shape, arena, wind, spread),
        "quad6dof": Quad6Dof(quad, shape, arena),
        "quad6dof, wind and randomisation": Quad6Dof(quad, shape, arena, wind, spread),
        "bicycle": Bicycle(BicycleConfig(), shape, arena),
    }


def moves(backend: Backend) -> Call:
    """One decision of a backend under random commands."""
    rng, shape = np.random.default_rng(0), backend.heading.shape
    start = Start.resting(np.zeros((*shape, 3), np.float32))
    backend.place(np.arange(shape[0]), start, rng.random((shape[0], backend.draws)))
    plan = rng.uniform(-2, 2, (PLANNED, *shape, 3)).astype(np.float32)
    moving, turn = np.ones(shape, bool), iter(_round())
    return lambda: backend.advance(plan[next(turn)], moving)


def plays(config: WorldSection, size: int) -> Call:
    """One step of a whole world under random actions."""
    world, rng, turn = make(config, size), np.random.default_rng(0), iter(_round())
    shape = size, len(world.spec.agents)
    if world.spec.continuous:
        plan = rng.uniform(-1, 1, (PLANNED, *shape, max(world.spec.action_sizes)))
        plan = plan.astype(np.float32)
    else:
        plan = rng.integers(0, world.spec.action_counts, (PLANNED, *shape))
    world.reset(0)
    return lambda: world.step(plan[next(turn)])


def elsewhere(module: str, settings: Mapping[str, Any]) -> Call:
    """One step of another project's PettingZoo world under random actions."""
    warnings.filterwarnings("ignore", message=".*render method")  # of its own making
    env = importlib.import_module(module).parallel_env(**settings)
    env.reset(seed=0)
    spaces = {agent: env.action_space(agent) for agent in env.possible_agents}
    plans = [{agent: space.sample() for agent, space in spaces.items()} for _ in range(PLANNED)]
    turn = iter(_round())

    def step() -> None:
        env.step(plans[next(turn)])
        if not env.agents:
            env.reset()

    return step


def pyflyt(python: str) -> dict[str, dict[str, int]]:
    """PyFlyt's quadrotors under random actions, by an interpreter that has it (with numpy<2)."""
    done = subprocess.run([python, "-c", PYFLYT], capture_output=True, text=True, check=True)
    rate = float(done.stdout.split()[-1])
    return {f"PyFlyt MAQuadXHoverEnv, {AGENTS} drones": {"1": round(rate)}}


def _round() -> Iterator[int]:
    while True:
        yield from range(PLANNED)


def sections() -> Iterator[tuple[str, WorldSection]]:
    """The mobility tasks on every backend that they know, with four agents where they allow it."""
    for name, entry in ENVS.items():
        if not issubclass(entry.config, MobilitySection):
            continue
        fields = entry.config.model_fields
        team = {key: AGENTS for key in TEAMS if key in fields}
        for backend in typing.get_args(fields["backend"].annotation):
            for settings in ({**team, "backend": backend}, {"backend": backend}):
                found = section(name, settings)
                if found is not None:
                    yield f"{name}, {backend}", found
                    break


def section(name: str, settings: Mapping[str, Any]) -> WorldSection | None:
    """A world's section, or None where the settings do not go together or cannot be made."""
    try:
        found = ENVS[name].config.model_validate({"id": name, **settings})
        make(found, 1)
    except (ValidationError, ConfigurationError):
        return None
    return found


def sensing(found: WorldSection) -> WorldSection | None:
    """The same world with a lidar of 36 beams on every agent; None where it has no sensors."""
    if "sensors" not in type(found).model_fields:
        return None
    given = found.model_dump(exclude_unset=True)
    return type(found).model_validate({**given, "sensors": {"lidar": {"beams": 36}}})


def rates(calls: Mapping[tuple[str, int], Call], budget: float) -> dict[str, dict[str, int]]:
    """Env-steps per CPU-second by name and number of worlds."""
    seconds = compare({f"{name}|{size}": call for (name, size), call in calls.items()}, budget)
    found: dict[str, dict[str, int]] = {}
    for name, size in calls:
        found.setdefault(name, {})[str(size)] = round(size / seconds[f"{name}|{size}"])
    return found


def show(title: str, table: Mapping[str, Mapping[str, int]]) -> None:
    """Prints one table."""
    print(f"\n{title}")
    for name, row in table.items():
        cells = "".join(f"  E={size} {rate:>12,}" for size, rate in row.items())
        print(f"  {name:<48}{cells}", flush=True)


def measure(budget: float, python: str | None) -> dict[str, Any]:
    """Measures and prints everything."""
    dynamics = rates(
        {(n, size): moves(b) for size in SIZES for n, b in backends(size).items()}, budget
    )
    show(f"dynamics alone, {AGENTS} bodies", dynamics)
    for (name, size), least in WANTED.items():
        rate = dynamics[name][str(size)]
        print(f"  {name} at E={size}: {rate / least:.1f} times the {least:,.0f} that are wanted")
    calls, lidars = {}, {}
    for name, found in sections():
        calls |= {(name, size): plays(found, size) for size in SIZES}
        seeing = sensing(found)
        if seeing is not None:
            lidars[name] = f"{name}, lidar of 36 beams"
            calls |= {(lidars[name], size): plays(seeing, size) for size in SIZES}
    worlds = rates(calls, budget)
    show("whole worlds", worlds)
    cost = {
        name: {size: round(rate / worlds[lidar][size], 2) for size, rate in worlds[name].items()}
        for name, lidar in lidars.items()
    }
    for name, row in cost.items():
        print(f"  {name}: with lidar a step takes {row} times as long")
    others = {}
    for name, (module, settings) in OTHERS.items():
        if importlib.util.find_spec(module.split(".")[0]) is None:
            print(f"  {name}: not installed, left out")
            continue
        others |= rates({(name, 1): elsewhere(module, settings)}, budget)
    if python is not None:
        others |= pyflyt(python)
    show("worlds of other projects", others)
    return {"dynamics": dynamics, "worlds": worlds, "lidar_cost": cost, "others": others}


def main() -> None:
    """Measures, prints and writes the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="less exact; nothing is written")
    parser.add_argument("--pyflyt", metavar="PYTHON", help="an interpreter that has PyFlyt")
    given = parser.parse_args()
    found = measure(0.1 if given.quick else 1.0, given.pyflyt)
    if not given.quick:
        about = {"unit": "env-steps per CPU-second", "agents": AGENTS}
        SCORES.write_text(json.dumps({**about, **found}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
