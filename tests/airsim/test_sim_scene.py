"""What stands in the world: rays, images, collisions, sensors, wind, more vehicles."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image
from sim_tools import YAW, Desk, drones, pose, vec

THINGS = {
    "wall": {"shape": "box", "position": [10, 0, -2], "size": [1, 30, 4]},
    "ball": {"shape": "sphere", "position": [4, 0, -2], "size": [1, 1, 1]},
}
LIDAR = {"SensorType": 6, "Enabled": True, "NumberOfChannels": 1, "PointsPerSecond": 3600}
SENSORS = {
    "lidar": {**LIDAR, "VerticalFOVUpper": 0, "VerticalFOVLower": 0, "Range": 50},
    "ahead": {"SensorType": 5, "Enabled": True, "MaxDistance": 20},
    "down": {"SensorType": 5, "Enabled": True, "MaxDistance": 20, "Pitch": -90},
}


def desk(version=1, **own):
    drone = {"VehicleType": "SimpleFlight", "Sensors": SENSORS}
    capture = [{"ImageType": kind, "Width": 65, "Height": 49} for kind in (0, 1, 2, 5)]
    made = Desk(
        {
            "Vehicles": {"D": drone},
            "CameraDefaults": {"CaptureSettings": capture},
            "Qmarl": {"physics": "point", "obstacles": THINGS, **own},
        },
        version,
    )
    made.ask("simSetVehiclePose", pose(0.0, 0.0, -2.0), True, "")
    return made


def image(made, kind, floats=False, compress=False, camera="0"):
    request = {
        "camera_name": camera,
        "image_type": kind,
        "pixels_as_float": floats,
        "compress": compress,
        "annotation_name": "",
    }
    rest = () if made.simulator.version == 4 else (False,)
    return made.ask("simGetImages", [request], "", *rest)[0]


def test_distance_sensors_meet_the_ball_and_the_ground():
    made = desk()
    assert made.ask("getDistanceSensorData", "ahead", "")["distance"] == pytest.approx(3.5)
    assert made.ask("getDistanceSensorData", "down", "")["distance"] == pytest.approx(2.0, abs=1e-4)
    assert "No distance sensor with name up" in made.error("getDistanceSensorData", "up", "")


def test_lidar_points_lie_on_what_they_meet():
    made = desk(version=4)
    found = made.ask("getLidarData", "", "")
    points = np.array(found["point_cloud"]).reshape(-1, 3)
    assert len(found["groundtruth"]) == len(points) > 20
    on_ball = np.array([name == "ball" for name in found["groundtruth"]])
    away = np.linalg.norm(points[on_ball] - [4, 0, -2], axis=1)
    np.testing.assert_allclose(away, 0.5, atol=1e-3)
    np.testing.assert_allclose(points[~on_ball][:, 0], 9.5, atol=1e-3)


def test_lidar_of_airsim_says_numbers_and_nothing_is_a_single_zero():
    made = desk()
    assert set(made.ask("getLidarData", "", "")["segmentation"]) == {
        made.ask("simGetSegmentationObjectID", name) for name in ("ball", "wall")
    }
    made.ask("simSetVehiclePose", pose(-500.0, 0.0, -90.0), True, "")
    assert made.ask("getLidarData", "", "")["point_cloud"] == [0.0]


def test_depth_is_measured_along_rays_or_along_the_axis():
    made = desk()
    made.ask("simDestroyObject", "ball")
    along = np.array(image(made, 2, floats=True)["image_data_float"]).reshape(49, 65)
    planar = np.array(image(made, 1, floats=True)["image_data_float"]).reshape(49, 65)
    assert along[24, 32] == planar[24, 32] == pytest.approx(9.0)  # the camera sits 0.5 m ahead
    assert planar[24, 10] == pytest.approx(9.0, abs=1e-3)
    assert along[24, 10] > 9.5
    assert along[0, 32] == 65504.0, "the sky"


def test_images_come_as_png_and_as_bytes_blue_first():
    made = desk()
    packed = image(made, 0, compress=True)
    pixels = np.asarray(Image.open(io.BytesIO(packed["image_data_uint8"])))
    assert pixels.shape == (49, 65, 3)
    raw = np.frombuffer(image(made, 0)["image_data_uint8"], np.uint8).reshape(49, 65, 3)
    np.testing.assert_array_equal(raw[..., ::-1], pixels)
    assert raw[0, 0, 0] > raw[0, 0, 2], "the sky is blue"
    assert packed["image_data_float"] == [0.0]
    assert made.ask("simGetImage", "0", 0, "", False) == packed["image_data_uint8"]


def test_segmentation_has_a_colour_for_each_number():
    made = desk()
    assert made.ask("simSetSegmentationObjectID", "b.*", 20, True) is True
    assert made.ask("simGetSegmentationObjectID", "ball") == 20
    before = image(made, 5)["image_data_uint8"]
    made.ask("simSetSegmentationObjectID", "wall", 0, False)
    after = np.frombuffer(image(made, 5)["image_data_uint8"], np.uint8).reshape(49, 65, 3)
    assert after.tobytes() != before
    assert (after[20, 2] == 0).all(), "number 0 is black"
    assert (after[24, 32] > 0).any(), "the ball is not"


def test_cameras_can_be_turned_and_widened():
    made = desk()
    down = {"position": vec(0, 0, 0), "orientation": {**_pitch(-90)}}
    made.ask("simSetCameraPose", "0", down, "", False)
    depth = np.array(image(made, 1, floats=True)["image_data_float"])
    np.testing.assert_allclose(depth, 2.0, atol=1e-3)
    made.ask("simSetCameraFov", "0", 40.0, "", False)
    assert made.ask("simGetCameraInfo", "0", "", False)["fov"] == 40.0
    assert "1 to 170" in made.error("simSetCameraFov", "0", 0.0, "", False)
    assert "not available" in made.error("simGetCameraInfo", "none", "", False)
    many = [{"camera_name": "0", "image_type": 0, "pixels_as_float": False, "compress": True}] * 65
    assert "64 images" in made.error("simGetImages", many, "", False)


def test_what_a_camera_looks_for_is_found_in_its_picture():
    made = desk()
    asked = ("0", 0, "", False)
    assert made.ask("simGetDetections", *asked) == []
    made.ask("simAddDetectionFilterMeshName", "0", 0, "ba*", "", False)
    (ball,) = made.ask("simGetDetections", *asked)
    assert ball["name"] == "ball"
    middle = [(ball["box2D"]["min"][k] + ball["box2D"]["max"][k]) / 2 for k in ("x_val", "y_val")]
    assert middle == pytest.approx([32.5, 24.5], abs=1)
    assert list(ball["relative_pose"]["position"].values()) == pytest.approx([3.5, 0, 0])
    assert ball["box3D"]["max"]["x_val"] == pytest.approx(4.0)
    assert ball["geo_point"]["altitude"] == pytest.approx(124.0)
    made.ask("simSetDetectionFilterRadius", "0", 0, 200.0, "", False)
    assert made.ask("simGetDetections", *asked) == []
    made.ask("simSetDetectionFilterRadius", "0", 0, 2000.0, "", False)
    made.ask("simAddDetectionFilterMeshName", "0", 0, "wall", "", False)
    assert len(made.ask("simGetDetections", *asked)) == 2
    made.ask("simClearDetectionMeshNames", *asked)
    assert made.ask("simGetDetections", *asked) == []


def _pitch(degrees):
    half = math.radians(degrees) / 2
    return {"w_val": math.cos(half), "x_val": 0.0, "y_val": math.sin(half), "z_val": 0.0}


@pytest.mark.parametrize("contact", ["stop", "pass"])
def test_an_obstacle_is_a_collision_until_it_is_asked_for(contact):
    made = desk(contact=contact)
    made.take_off()
    made.ask("moveByVelocity", 3.0, 0.0, 0.0, 20.0, 0, YAW, "")
    made.run(2.5)
    found = made.ask("simGetCollisionInfo", "")
    assert found["has_collided"] is True
    assert found["object_name"] == "ball"
    assert found["time_stamp"] <= made.simulator.stamp
    assert made.ask("simGetCollisionInfo", "")["has_collided"] is (False)
    if contact == "stop":
        assert made.place()[0] <= 4 - 0.5 - 0.1 + 0.01
        assert found["normal"]["x_val"] < -0.9
    else:
        assert made.place()[0] > 4


@pytest.mark.parametrize("physics", ["point", "quad6dof"])
def test_a_drone_can_land_on_a_roof_and_stands_there(physics):
    made = desk(physics=physics)
    made.take_off()
    made.ask("simSetVehiclePose", pose(10.0, 0.0, -4.5), True, "")
    done = []
    made.ask("land", 60.0, "").tell(done.append)
    made.run(4)
    assert done == [True]
    assert made.ask("getMultirotorState", "")["landed_state"] == 0
    assert made.ask("simGetCollisionInfo", "")["object_name"] == "wall"
    made.run(2)
    assert made.place()[2] == pytest.approx(-4.1, abs=0.01)
    assert made.ask("simGetCollisionInfo", "")["has_collided"] is False
    made.ask("takeoff", 20.0, "")
    made.run(4)
    assert made.place()[2] < -5


def test_drones_that_meet_collide_both():
    made = Desk(drones(2, physics="point"))
    made.ask("simSetVehiclePose", pose(-1.9, 0.0, -3.0), True, "D1")
    made.ask("simSetVehiclePose", pose(0.0, 0.0, -3.0), True, "D0")
    made.run(0.1)
    assert made.ask("simGetCollisionInfo", "D0")["object_name"] == "D1"
    assert made.ask("simGetCollisionInfo", "D1")["object_name"] == "D0"


def test_falling_to_the_ground_is_a_collision_and_standing_is_none():
    made = desk()
    made.run(3)
    assert made.ask("simGetCollisionInfo", "")["object_name"] == "Ground"
    made.run(3)
    assert made.ask("simGetCollisionInfo", "")["has_collided"] is False


def test_objects_can_be_spawned_moved_listed_and_destroyed():
    made = desk()
    called = made.ask(
        "simSpawnObject", "box", "Cube", pose(3.0, 0.0, -2.0), vec(1, 1, 1), False, False
    )
    again = made.ask(
        "simSpawnObject", "box", "Sphere", pose(9.0, 9.0, -2.0), vec(1, 1, 1), False, False
    )
    assert (called, again) == ("box", "box1")
    assert made.ask("simListSceneObjects", "BOX.*") == ["box1", "box"]
    assert made.ask("getDistanceSensorData", "ahead", "")["distance"] == pytest.approx(2.5)
    made.ask("simSetObjectPose", "box", pose(2.0, 0.0, -2.0), True)
    assert made.ask("getDistanceSensorData", "ahead", "")["distance"] == pytest.approx(1.5)
    made.ask("simSetObjectScale", "box", vec(2, 1, 1))
    assert made.ask("getDistanceSensorData", "ahead", "")["distance"] == pytest.approx(1.0)
    assert made.ask("simDestroyObject", "box") is True
    assert made.ask("simDestroyObject", "box") is False
    assert math.isnan(made.ask("simGetObjectPose", "box")["position"]["x_val"])
    made.ask("reset")
    assert "box1" not in made.ask("simListSceneObjects", ".*")
    assert "regex_error" in made.error("simListSceneObjects", "(")
    assert "256" in made.error("simListSceneObjects", "a" * 300)


def test_lines_of_sight_end_at_what_stands_between():
    made = desk()
    home = made.ask("getHomeGeoPoint", "")

    def at(north):
        degrees = math.degrees(north / 6378137.0)
        return {**home, "latitude": home["latitude"] + degrees, "altitude": home["altitude"] + 2}

    assert made.ask("simTestLineOfSightBetweenPoints", at(0), at(3)) is True
    assert made.ask("simTestLineOfSightBetweenPoints", at(0), at(12)) is False
    assert made.ask("simTestLineOfSightToPoint", at(3), "") is True


def test_sensors_of_a_drone_at_rest():
    made = Desk()
    imu = made.ask("getImuData", "", "")
    assert imu["linear_acceleration"]["z_val"] == pytest.approx(-9.80665)
    gps = made.ask("getGpsData", "", "")["gnss"]["geo_point"]
    assert (gps["latitude"], gps["altitude"]) == pytest.approx((47.641468, 122.0))
    barometer = made.ask("getBarometerData", "", "")
    assert barometer["altitude"] == pytest.approx(122.0, abs=1.0)
    assert 99_000 < barometer["pressure"] < 100_500
    field = made.ask("getMagnetometerData", "", "")["magnetic_field_body"]
    assert list(field.values()) == pytest.approx([0.34252, 0.09805, 0.93438])
    air = made.ask("simGetGroundTruthEnvironment", "")
    assert air["air_density"] == pytest.approx(1.21, abs=0.02)
    assert "No lidar with name  exist on vehicle" in made.error("getLidarData", "", "")


def test_wind_carries_a_drone_away_and_the_controller_brings_it_back():
    made = Desk()
    made.take_off()
    made.ask("simSetVehiclePose", pose(0.0, 0.0, -5.0), True, "")
    made.ask("simSetWind", vec(0, 5, 0))
    made.run(0.6)
    assert made.place()[1] > 0.01
    made.run(10)
    assert abs(made.place()[1]) < 0.3
    assert "1000 m/s" in made.error("simSetWind", vec(1e6, 0, 0))


def test_vehicles_can_be_added_while_it_runs():
    made = Desk(drones(1))
    made.take_off("D0")
    made.ask("simSetVehiclePose", pose(0.0, 0.0, -3.0), True, "D0")
    made.ask("moveByVelocity", 1.0, 0.0, 0.0, 9.0, 0, YAW, "D0")
    made.run(1)
    before = made.place("D0")
    assert made.ask("simAddVehicle", "new", "simpleflight", pose(0.0, 5.0, -2.0), "") is True
    assert made.place("D0") == before
    assert made.ask("simAddVehicle", "car", "PhysXCar", pose(0.0, 9.0, 0.0), "") is True
    assert made.ask("simAddVehicle", "new", "simpleflight", pose(0.0, 5.0, -2.0), "") is False
    assert made.ask("simAddVehicle", "boat", "boat", pose(0.0, 5.0, -2.0), "") is False
    assert made.ask("listVehicles") == ["D0", "new", "car"]
    made.take_off("new")
    made.run(1)
    assert made.place("D0")[0] > before[0] + 0.5
    assert made.place("new")[2] == pytest.approx(0, abs=0.2)
    controls = {"throttle": 1.0, "steering": 0.0, "brake": 0.0, "handbrake": False}
    more = {"is_manual_gear": False, "manual_gear": 0, "gear_immediate": True}
    made.ask("enableApiControl", True, "car")
    made.ask("setCarControls", {**controls, **more}, "car")
    assert made.ask("getCarControls", "car")["throttle"] == 1.0
    made.run(2)
    assert made.ask("getCarState", "car")["speed"] > 10


def test_a_car_starts_at_the_speed_that_it_is_given():
    made = Desk({"SimMode": "Car"})
    state = {
        **made.ask("simGetGroundTruthKinematics", ""),
        "linear_velocity": vec(5, 0, 0),
    }
    made.ask("simSetKinematics", state, True, "")
    assert made.ask("getCarState", "")["speed"] == pytest.approx(5)
    made.run(1)
    assert made.place()[0] == pytest.approx(5, abs=0.01)


def test_an_eye_goes_where_it_is_put():
    made = Desk({"SimMode": "ComputerVision"}, version=4)
    made.ask("simSetVehiclePose", pose(1.0, 2.0, -3.0), True, "")
    made.run(1)
    found = made.ask("getComputerVisionState", "")["kinematics_estimated"]["position"]
    assert list(found.values()) == [1.0, 2.0, -3.0]


def test_what_only_unreal_shows_is_accepted():
    made = Desk()
    for name, given in (
        ("simSetTimeOfDay", (True, "2020-01-01 12:00:00", False, 1, 60, True)),
        ("simEnableWeather", (True,)),
        ("simSetWeatherParameter", (7, 0.5)),
        ("simPlotPoints", ([vec(0, 0, 0)], [1.0, 0, 0, 1], 10.0, -1.0, False)),
        ("simPrintLogMessage", ("hello", "", 0)),
        ("simFlushPersistentMarkers", ()),
    ):
        assert made.ask(name, *given) is None
    made.ask("startRecording")
    assert made.ask("isRecording") is True
    made.ask("stopRecording")
    assert made.ask("isRecording") is False
    assert "0 to 8" in made.error("simSetWeatherParameter", 99, 1.0)
