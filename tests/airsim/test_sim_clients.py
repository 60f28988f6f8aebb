"""AirSim's own clients, unmodified, fly the simulator: the examples, as a person runs them."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sim_tools import process

from envs.backends.quad6dof import Quad6Dof, Quad6DofConfig
from envs.bodies import Start

EXAMPLES = Path(__file__).parents[2] / "examples" / "airsim"
THINGS = {"house": {"position": [16, 2, -2], "size": [4, 5, 4]}}
LIDAR = {"SensorType": 6, "Enabled": True, "PointsPerSecond": 5000}


def two(physics, speed):
    drone = {"VehicleType": "SimpleFlight", "Sensors": {"lidar": LIDAR}}
    return {
        "SimMode": "Multirotor",
        "ClockSpeed": speed,
        "Vehicles": {"Drone1": {**drone, "X": 4, "Z": -2}, "Drone2": {**drone, "X": 8, "Z": -2}},
        "Qmarl": {"physics": physics, "obstacles": THINGS},
    }


# The clock goes on by itself, so on a busy machine a drone is read a moment later or earlier.
NEAR = r"(9\.[5-9]|10\.[0-5])"
RUNS = [
    ("hello_drone", {"ClockSpeed": 30}, rf"arrived at -{NEAR} {NEAR} -{NEAR}"),
    ("multi_agent_drone", two("point", 60), "Drone2 arrived at"),
    ("point_cloud", two("point", 60), "points of the lidar"),
    ("path", two("point", 60), "landed: True"),
    ("hello_car", {"SimMode": "Car", "ClockSpeed": 30}, "brakes: speed 0.0 m/s"),
]
NAMES = [name for name, *_ in RUNS]


def run(name, port, folder, python=sys.executable, client="cosysairsim"):
    command = [python, str(EXAMPLES / f"{name}.py"), "--client", client, "--port", str(port)]
    done = subprocess.run(
        [*command, "--out", str(folder)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("done\n"), done.stdout
    return done.stdout


@pytest.mark.parametrize(("name", "settings", "said"), RUNS, ids=NAMES)
def test_cosysairsim_runs_the_examples(name, settings, said, tmp_path):
    with process(tmp_path, settings, "--version", "4") as (_, port):
        assert re.search(said, run(name, port, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "settings", "said"), RUNS, ids=NAMES)
def test_airsim_runs_the_examples(name, settings, said, tmp_path):
    python = os.environ.get("QMARL_AIRSIM_PYTHON")
    if not python:
        pytest.skip("QMARL_AIRSIM_PYTHON names no Python that has Microsoft's airsim")
    with process(tmp_path, settings, "--version", "1") as (_, port):
        assert re.search(said, run(name, port, tmp_path, python, "airsim"))


def flown():
    """Where the drones of the example ``lockstep`` are in the end, flown in this process."""
    spec = importlib.util.spec_from_file_location("lockstep", EXAMPLES / "lockstep.py")
    sys.path.insert(0, str(EXAMPLES))
    try:
        lockstep = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(lockstep)
    finally:
        sys.path.remove(str(EXAMPLES))
    box = np.array([[-1e5, -1e5, 0], [1e5, 1e5, 1e5]], np.float32)
    own = Quad6Dof(Quad6DofConfig(), (1, 2), box)
    spawn, height = np.array([[4, 0, 2], [8, 0, 2]]), np.array([0, 0, 4])
    own.place(np.arange(1), Start.resting((spawn + height)[None]), np.zeros((1, 0)))
    for step in range(lockstep.STEPS):
        rows = [lockstep.command(step, index) for index in range(2)]
        command = (np.array(rows) * [1, -1, -1]).astype(np.float32)
        own.advance(command[None], np.ones((1, 2), bool))
    return (own.position[0] - spawn) * [1, -1, -1]


def lockstep_places(port, folder, **client):
    lines = run("lockstep", port, folder, **client).splitlines()[:2]
    return np.array([[float(word) for word in line.split()[1:]] for line in lines])


def test_lockstep_of_the_real_client_is_the_backend_in_process(tmp_path):
    with process(tmp_path, two("quad6dof", 1), "--version", "4") as (_, port):
        found = lockstep_places(port, tmp_path)
    np.testing.assert_allclose(found, flown(), rtol=1e-6, atol=1e-6)
    assert np.abs(found).max() > 3


@pytest.mark.slow
def test_lockstep_of_airsim_is_the_backend_in_process(tmp_path):
    python = os.environ.get("QMARL_AIRSIM_PYTHON")
    if not python:
        pytest.skip("QMARL_AIRSIM_PYTHON names no Python that has Microsoft's airsim")
    with process(tmp_path, two("quad6dof", 1), "--version", "1") as (_, port):
        found = lockstep_places(port, tmp_path, python=python, client="airsim")
    np.testing.assert_allclose(found, flown(), rtol=1e-6, atol=1e-6)
