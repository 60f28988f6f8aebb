"""settings.json as AirSim reads it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from envs.airsim_server.own_settings import OwnSettings
from envs.airsim_server.settings import SensorKind, read, read_file
from qmarl.errors import ConfigurationError


def settings(**keys):
    return read(json.dumps(keys))


def test_nothing_is_one_drone_with_airsims_sensors():
    found = read("{}")
    (drone,) = found.vehicles
    assert (found.mode, found.port, drone.name, drone.kind) == (
        "Multirotor",
        41451,
        "SimpleFlight",
        "multirotor",
    )
    assert [sensor.kind.name for sensor in drone.sensors] == [
        "BAROMETER",
        "GPS",
        "IMU",
        "MAGNETOMETER",
    ]
    assert found.origin.latitude == 47.641468


@pytest.mark.parametrize(("mode", "name"), [("Car", "PhysXCar"), ("ComputerVision",) * 2])
def test_a_mode_has_its_own_vehicle(mode, name):
    assert settings(SimMode=mode).vehicles[0].name == name


def test_vehicles_start_where_they_are_told_sorted_by_name():
    found = settings(
        SimMode="Multirotor",
        ClockSpeed=3,
        Wind={"X": 2},
        Vehicles={
            "b": {"VehicleType": "simpleflight", "X": 4, "Y": -1, "Z": -2, "Yaw": 90},
            "a": {"VehicleType": "PhysXCar"},
            "c": {"AutoCreate": False},
        },
    )
    assert [(each.name, each.kind) for each in found.vehicles] == [
        ("a", "car"),
        ("b", "multirotor"),
    ]
    assert found.vehicles[1].position == (4.0, -1.0, -2.0)
    assert found.vehicles[1].yaw == 90
    assert (found.clock_speed, found.wind) == (3.0, (2.0, 0.0, 0.0))


def test_sensors_stand_beside_the_defaults_of_other_kinds_and_are_off_unless_enabled():
    own = {
        "Front": {"SensorType": 6, "Enabled": True, "Range": 30, "Pitch": -10},
        "Down": {"SensorType": 5},
    }
    sensors = {
        each.name: each for each in settings(Vehicles={"a": {"Sensors": own}}).vehicles[0].sensors
    }
    assert sensors["Front"].kind is SensorKind.LIDAR
    assert sensors["Front"].number("Range", 100) == 30
    assert sensors["Front"].mount.rotation == (0.0, -10.0, 0.0)
    assert not sensors["Down"].enabled
    assert {"gps", "imu"} <= sensors.keys()


def test_cameras_inherit_what_they_do_not_say():
    found = settings(
        CameraDefaults={"CaptureSettings": [{"ImageType": 0, "Width": 64, "FOV_Degrees": 60}]},
        Vehicles={
            "a": {
                "Cameras": {"top": {"Z": -1, "CaptureSettings": [{"ImageType": 0, "Height": 32}]}}
            }
        },
    )
    capture = found.vehicles[0].cameras["top"].captures[0]
    assert (capture.width, capture.height, capture.fov) == (64, 32, 60)
    assert found.vehicles[0].cameras["top"].mount.position == (0.0, 0.0, -1.0)


def test_unknown_keys_are_passed_over_and_noted():
    notes = settings(ClockSped=2, ViewMode="NoDisplay").notes
    assert len(notes) == 2
    assert "'ClockSped' is not known and passed over; did you mean 'ClockSpeed'?" in notes[0]
    assert "ViewMode" in notes[1]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"SimMode": "Boat"}, "SimMode: got 'Boat'; allowed is Multirotor, Car, ComputerVision"),
        ({"ClockSpeed": 0}, "ClockSpeed: got 0"),
        ({"ApiServerPort": 99999}, "ApiServerPort"),
        ({"Vehicles": []}, "Vehicles: got []; allowed is an object"),
        ({"Vehicles": {"a": {"VehicleType": "Boat"}}}, "VehicleType: got 'boat'"),
        ({"Vehicles": {"a": {"X": "near"}}}, "X: got 'near'; allowed is a number"),
        ({"Qmarl": {"fysics": "point"}}, "Qmarl.fysics"),
        ({"Qmarl": {"arena": [[0, 0, 0], [1, 0, 1]]}}, "corners must differ"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(keys, said):
    with pytest.raises(ConfigurationError, match=r"settings\.json") as caught:
        settings(**keys)
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000])
def test_no_json_is_refused(text):
    with pytest.raises(ConfigurationError):
        read(text)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_file(tmp_path / "none.json")


def test_the_own_key_says_what_stands_where():
    found = settings(Qmarl={"obstacles": {"wall": {"position": [5, 0, -1], "size": [1, 4, 2]}}})
    assert found.own.obstacles["wall"].shape == "box"
    assert found.own.physics == "quad6dof"


def test_the_page_shows_settings_that_can_be_read_and_names_every_own_key():
    page = (Path(__file__).parents[2] / "docs" / "airsim_server.md").read_text()
    (sample,) = re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(read(sample).own.obstacles) == 2
    assert not [key for key in OwnSettings.model_fields if f"`{key}`" not in page]
