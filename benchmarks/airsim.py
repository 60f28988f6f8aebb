"""Measures lockstep flights through AirSim's protocol: our client, AirSim's own, and no wire.

    python benchmarks/airsim.py                       # prints a table and writes scores/airsim.json
    python benchmarks/airsim.py --python /path/to/venv/bin/python   # adds Microsoft's airsim

Every step commands all drones, lets 0.1 s pass, and reads every drone's state and collisions. The
simulator is our own, in a process of its own. The variants take turns, several rounds of them, and
the fastest round of each counts: other programs on the machine only ever make things slower.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from envs import make
from envs.airsim_wire.address import Address
from envs.airsim_wire.connection import WireConnection
from envs.backends.airsim_commands import Drive, move_of
from envs.backends.airsim_settings import settings_text

SCORES = Path(__file__).parent / "scores" / "airsim.json"
STEPS = 200
ROUNDS = 5

REAL = """
import importlib, sys, time
module, port, count, steps, rounds = sys.argv[1], *map(int, sys.argv[2:])
client = importlib.import_module(module).MultirotorClient(port=port, timeout_value=60)
names = [f"drone_{i}" for i in range(count)]
client.simPause(True)
for name in names:
    client.enableApiControl(True, name)
    client.armDisarm(True, name)
best = 0.0
for _ in range(rounds):
    began = time.perf_counter()
    for step in range(steps):
        for name in names:
            client.moveByVelocityAsync(0.3, 0.0, -0.1, 10, vehicle_name=name)
        client.simContinueForTime(0.1)
        for name in names:
            client.getMultirotorState(name)
            client.simGetCollisionInfo(name)
    best = max(best, steps / (time.perf_counter() - began))
print(best)
"""


@contextmanager
def simulator(drones: int, physics: str) -> Iterator[int]:
    """Our simulator in a process of its own; yields its port."""
    names = {f"drone_{i}": "drone" for i in range(drones)}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "settings.json"
        path.write_text(settings_text("", names, 0))
        words = ["--settings", str(path), "--port", "0", "--physics", physics]
        process = subprocess.Popen(
            [sys.executable, "-m", "envs.airsim_server", *words], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().rsplit(":", 1)[1])
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()


def world_pace(world: Any) -> Callable[[], float]:
    """Steps per second of a world under random actions."""
    spec, generator = world.spec, np.random.default_rng(0)
    world.reset(0)

    def once() -> float:
        began = time.perf_counter()
        for _ in range(STEPS):
            world.step(generator.integers(0, spec.action_counts[0], (1, len(spec.agents))))
        return STEPS / (time.perf_counter() - began)

    return once


def client_pace(port: int, drones: int) -> Callable[[], float]:
    """Lockstep steps per second of our client alone, with what the real clients ask for."""
    from envs.airsim_wire.connection import Request

    connection = WireConnection(Address(port=port))
    names = [f"drone_{i}" for i in range(drones)]
    pause = Request("simPause", (True,))
    api = [Request("enableApiControl", (True, name)) for name in names]
    connection.ask([pause, *api, *(Request("armDisarm", (True, name)) for name in names)])
    drive, own = Drive(1.0, 1.0, 1.0), ([0.3, 0.0, 0.1], True)
    moves = [move_of("drone", name, own, "velocity", drive) for name in names]
    go = Request("simContinueForTime", (0.1,))
    asked = ("getMultirotorState", "simGetCollisionInfo")
    reads = [Request(method, (name,)) for name in names for method in asked]

    def once() -> float:
        began = time.perf_counter()
        for _ in range(STEPS):
            connection.ask([*moves, go])
            connection.ask(reads)
        return STEPS / (time.perf_counter() - began)

    return once


def real_pace(python: str, module: str, port: int, drones: int) -> Callable[[], float]:
    """Lockstep steps per second of a package's own client."""

    def once() -> float:
        words = [python, "-W", "ignore", "-c", REAL, module, port, drones, STEPS, 1]
        found = subprocess.run([str(word) for word in words], capture_output=True, text=True)
        if found.returncode:
            raise SystemExit(f"{module}: {found.stderr.strip().splitlines()[-1]}")
        return float(found.stdout.split()[-1])

    return once


def best_of(paces: dict[str, Callable[[], float]]) -> dict[str, float]:
    """The fastest of several rounds, in which all take turns."""
    rounds = [{name: pace() for name, pace in paces.items()} for _ in range(ROUNDS)]
    return {name: max(each[name] for each in rounds) for name in paces}


def clients(python: str | None) -> dict[str, float]:
    """Our client beside the real ones: two point masses."""
    with simulator(2, "point") as port:
        paces = {"wire": client_pace(port, 2)}
        paces["cosysairsim"] = real_pace(sys.executable, "cosysairsim", port, 2)
        if python is not None:
            paces["airsim"] = real_pace(python, "airsim", port, 2)
        return best_of(paces)


def worlds(drones: int) -> dict[str, float]:
    """The world drone navigation with quadrotors, over the wire and without one."""
    plain = {"id": "drone_navigation", "drones": drones, "num_envs": 1}
    with simulator(drones, "quad6dof") as port:
        far = make({**plain, "backend": "airsim", "address": f"127.0.0.1:{port}"})
        near = make({**plain, "backend": "quad6dof"})
        found = best_of({"in process": world_pace(near), "over the wire": world_pace(far)})
        far.close()
    return found


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", help="a Python that has Microsoft's airsim")
    found = clients(parser.parse_args().python)
    paces = {f"quad6dof, {count} drones": worlds(count) for count in (2, 4)}
    ours = found["wire"]
    ratios = {f"wire over {name}": ours / pace for name, pace in found.items() if name != "wire"}
    shares = {name: pace["over the wire"] / pace["in process"] for name, pace in paces.items()}
    result = {"clients": found, "ratios": ratios, "worlds": paces, "shares": shares}
    text = json.dumps(result, indent=1)
    SCORES.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
