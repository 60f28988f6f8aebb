"""``qmarl sim``: the settings that a configuration needs, and the words for what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from envs.airsim_server.settings import SensorKind, read
from envs.airsim_server.simulator import Simulator
from qmarl.errors import ConfigurationError, UnreachableError
from trainers.cli import app

QUICKSTART = str(Path(__file__).parents[2] / "configs" / "quickstart.yaml")


def ask(*words):
    return CliRunner().invoke(app, ["sim", *words])


def test_settings_have_a_vehicle_for_every_agent_and_the_sensors_of_the_section():
    done = ask(
        "settings",
        QUICKSTART,
        "--port",
        "41500",
        "env.drones=3",
        "env.sensors={lidar: {beams: 12, layers: 2}, ranger: {directions: [down]}, camera: {}}",
    )
    assert done.exit_code == 0, done.output
    found = read(done.stdout)
    assert found.port == 41500
    assert [vehicle.name for vehicle in found.vehicles] == ["drone_0", "drone_1", "drone_2"]
    kinds = {each.name: each.kind for each in found.vehicles[0].sensors}
    assert kinds["lidar"] is SensorKind.LIDAR
    assert kinds["distance_down"] is SensorKind.DISTANCE
    assert found.vehicles[0].cameras["front_center"].captures[0].width == 8
    assert json.loads(done.stdout)["ViewMode"] == "NoDisplay"
    assert len({vehicle.position for vehicle in found.vehicles}) == 3
    assert len(Simulator(found).vehicles) == 3


def test_cars_are_cars(tmp_path):
    path = tmp_path / "cars.yaml"
    path.write_text("name: cars\nenv: {id: vehicle_platoon, vehicles: 3}\n")
    found = read(ask("settings", str(path)).stdout)
    assert found.mode == "Car"
    assert {vehicle.kind for vehicle in found.vehicles} == {"car"}
    assert found.own.bicycle.wheelbase > 1


def test_worlds_without_bodies_cannot_be_flown(tmp_path):
    path = tmp_path / "coins.yaml"
    path.write_text("name: coins\nenv: {id: coin_game}\n")
    done = ask("settings", str(path))
    assert isinstance(done.exception, ConfigurationError)
    assert "has no bodies to fly" in str(done.exception)


def test_a_version_that_is_not_there_is_refused():
    done = ask("serve", "--version", "2")
    assert isinstance(done.exception, ConfigurationError)
    assert "allowed are 1 and 4" in str(done.exception)


def test_an_address_that_is_not_ours_cannot_be_listened_at():
    done = ask("serve", "--host", "203.0.113.1", "--port", "0")
    assert isinstance(done.exception, UnreachableError)
    assert "cannot be listened at" in str(done.exception)


@pytest.mark.parametrize("word", ["serve", "settings"])
def test_help_says_what_it_does(word):
    assert ask(word, "--help").exit_code == 0
