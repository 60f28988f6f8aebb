"""What multirotors do when they are told to, in simulated time and in AirSim's words."""

from __future__ import annotations

import math

import pytest
from sim_tools import LEVEL, YAW, Desk, drones, pose, vec

FAST = {"physics": "point"}


def desk(**own):
    made = Desk({"Qmarl": own})
    made.take_off()
    return made


def until(made, answer, limit=120.0):
    """Lets time pass until a move is over; gives its outcome and the time that it took."""
    outcome, time = [], 0.0
    answer.tell(outcome.append)
    while not outcome and time < limit:
        made.run(0.1)
        time += 0.1
    assert outcome, "the move does not end"
    return outcome[0], time


def heading(made):
    turn = made.ask("simGetVehiclePose", "")["orientation"]
    return math.degrees(2 * math.atan2(turn["z_val"], turn["w_val"]))


@pytest.mark.parametrize("physics", ["point", "quad6dof"])
def test_takeoff_rises_three_metres_and_land_comes_down(physics):
    made = desk(physics=physics)
    assert made.ask("getMultirotorState", "")["landed_state"] == 0
    done, time = until(made, made.ask("takeoff", 20.0, ""))
    assert done is True
    assert time > 5
    assert made.place()[2] == pytest.approx(-3, abs=0.15)
    assert made.ask("getMultirotorState", "")["landed_state"] == 1
    done, time = until(made, made.ask("land", 60.0, ""))
    assert done is True
    assert time > 10
    assert made.place()[2] == pytest.approx(0, abs=0.01)
    made.run(5)
    assert made.ask("getMultirotorState", "")["landed_state"] == 0
    assert made.ask("simGetCollisionInfo", "")["has_collided"] is False


def test_a_drone_that_is_disarmed_or_out_of_control_stays():
    for name in ("enableApiControl", "armDisarm"):
        made = Desk()
        made.ask(name, True, "")
        answer = made.ask("moveByVelocity", 0.0, 0.0, -3.0, 2.0, 0, YAW, "")
        done, time = until(made, answer)
        assert done is False
        assert time == pytest.approx(2, abs=0.11)
        assert made.place() == (0.0, 0.0, 0.0)


def test_a_move_holds_for_its_duration_and_then_the_drone_hovers():
    made = desk()
    until(made, made.ask("takeoff", 20.0, ""))
    done, time = until(made, made.ask("moveByVelocity", 2.0, 0.0, 0.0, 3.0, 0, YAW, ""))
    assert done is True
    assert time == pytest.approx(3, abs=0.11)
    made.run(8)
    here = made.place()
    made.run(3)
    assert made.place() == pytest.approx(here, abs=0.02)
    assert here[0] == pytest.approx(6, abs=1)


def test_a_new_move_ends_the_last_one():
    made = desk(**FAST)
    first, told = made.ask("moveByVelocity", 1.0, 0.0, -1.0, 10.0, 0, YAW, ""), []
    first.tell(told.append)
    made.run(1)
    assert told == []
    made.ask("moveByVelocity", -1.0, 0.0, 0.0, 10.0, 0, YAW, "")
    assert told == [False]
    made.ask("cancelLastTask", "")
    made.run(2)
    here = made.place()
    made.run(1)
    assert made.place() == pytest.approx(here, abs=0.05)


@pytest.mark.parametrize("physics", ["point", "quad6dof"])
def test_move_to_position_arrives_and_stays(physics):
    made = desk(physics=physics)
    goal = (-6.0, 4.0, -5.0, 3.0, 60.0, 0, YAW, -1, 1, "")
    done, time = until(made, made.ask("moveToPosition", *goal))
    assert done is True
    assert time < 15
    made.run(3)
    assert made.place() == pytest.approx((-6, 4, -5), abs=0.15)


def test_a_place_that_cannot_be_reached_in_time_is_not():
    made = desk(**FAST)
    answer = made.ask("moveToPosition", 500.0, 0.0, -5.0, 3.0, 2.0, 0, YAW, -1, 1, "")
    assert until(made, answer)[0] is False


def test_a_path_is_followed_looking_ahead():
    made = desk(**FAST)
    until(made, made.ask("moveToZ", -5.0, 2.0, 60.0, YAW, -1, 1, ""))
    path = [vec(20, 0, -5), vec(20, -20, -5)]
    answer = made.ask("moveOnPath", path, 5.0, 60.0, 1, {**YAW, "is_rate": False}, 5, 1, "")
    outcome, seen = [], []
    answer.tell(outcome.append)
    while not outcome:
        made.run(0.5)
        seen.append((*made.place()[:2], heading(made)))
    assert outcome == [True]
    assert made.place() == pytest.approx((20, -20, -5), abs=0.2)
    assert any(x > 17 and y > -4 for x, y, _ in seen), "it cuts the corner"
    assert min(turn for *_, turn in seen) == pytest.approx(-90, abs=10)


def test_rotate_to_yaw_turns_clockwise_on_the_spot():
    for physics in ("point", "quad6dof"):
        made = desk(physics=physics)
        until(made, made.ask("takeoff", 20.0, ""))
        done, _ = until(made, made.ask("rotateToYaw", 170.0, 30.0, 5.0, ""))
        assert done is True
        assert heading(made) == pytest.approx(170, abs=6)
        assert made.place() == pytest.approx((0, 0, -3), abs=0.2)


def test_rotate_by_rate_and_yaw_modes():
    made = desk(**FAST)
    until(made, made.ask("rotateByYawRate", 30.0, 2.0, ""))
    assert heading(made) == pytest.approx(60, abs=4)
    until(made, made.ask("moveByVelocity", 0.0, 1.0, -1.0, 4.0, 1, {**YAW, "is_rate": False}, ""))
    assert heading(made) == pytest.approx(90, abs=4)
    answer = made.ask("moveByVelocityBodyFrame", 1.0, 0.0, 0.0, 2.0, 0, YAW, "")
    east = made.place()[1]
    until(made, answer)
    assert made.place()[1] - east > 1.5


def test_a_height_is_held():
    made = desk()
    until(made, made.ask("moveByVelocityZ", 1.0, 0.0, -4.0, 8.0, 0, YAW, ""))
    assert made.place()[2] == pytest.approx(-4, abs=0.1)
    assert made.place()[0] > 6


def test_attitudes_and_motors():
    made = desk()
    until(made, made.ask("takeoff", 20.0, ""))
    start = made.place()
    until(made, made.ask("moveByRollPitchYawZ", 0.15, 0.0, 0.0, -3.0, 1.5, ""))
    east = made.place()[1] - start[1]
    assert east > 0.5, "positive roll flies to the right"
    until(made, made.ask("moveByRollPitchYawrateZ", 0.0, -0.15, 0.0, -3.0, 1.5, ""))
    assert made.place()[0] > start[0] + 0.5, "the nose down flies forward"
    assert made.place()[2] == pytest.approx(-3, abs=0.5)
    until(made, made.ask("moveByMotorPWMs", 1.0, 1.0, 1.0, 1.0, 0.5, ""))
    assert made.place()[2] < -3.3
    speeds = [each["speed"] for each in made.ask("getRotorStates", "")["rotors"]]
    assert min(speeds) > 0.5


def test_points_have_no_rotors_to_command():
    made = desk(**FAST)
    said = made.error("moveByMotorPWMs", 1.0, 1.0, 1.0, 1.0, 1.0, "")
    assert "serve with physics quad6dof" in said


def test_taking_off_while_it_moves_is_refused_in_airsims_words():
    made = desk(**FAST)
    made.ask("moveByVelocity", 1.0, 0.0, -1.0, 10.0, 0, YAW, "")
    made.run(1)
    said = made.error("takeoff", 20.0, "")
    assert said.startswith(
        "rpclib: function 'takeoff' (called with 2 arg(s)) threw an exception. The exception "
        "contained this information: Cannot perform takeoff because vehicle is already moving"
    )


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (("moveToPosition", 1, 1, 1, 5, 9, 0, YAW, 0, 1, ""), "lookahead distance cannot be 0"),
        (("moveToPosition", 1, 1, 1, 5, 9, 0, YAW, 0.1, 1, ""), "smaller than drone's distance"),
        (("moveToPosition", 1, 1, 1, 5, 9, 1, YAW, -1, 1, ""), "Yaw cannot be specified as rate"),
        (("moveByVelocity", float("nan"), 0, 0, 1, 0, YAW, ""), "not a number"),
        (("moveByVelocity", "x", 0, 0, 1, 0, YAW, ""), "std::bad_cast"),
        (("moveByVelocity", 1, 0, 0, 1, 0, {}, ""), "std::bad_cast"),
        (("takeoff", 20.0, "Nope"), "Vehicle API for 'Nope' is not available."),
        (("simGetVehiclePose", "Nope"), "Vehicle Sim-API for 'Nope' is not available."),
        (("moveByRC", {}, ""), "moveByRC API is not implemented for this multirotor"),
        (("getCarState", ""), "Vehicle API for '' is not available."),
    ],
)
def test_errors_are_in_airsims_words(call, said):
    assert said in desk(**FAST).error(*call)


def test_reset_puts_everyone_back_disarmed_and_out_of_control():
    made = Desk(drones(2, **FAST))
    made.take_off("D0", "D1")
    told = []
    for name in ("D0", "D1"):
        made.ask("moveByVelocity", 2.0, 0.0, -1.0, 9.0, 0, YAW, name).tell(told.append)
    made.run(1)
    stamp = made.simulator.stamp
    made.ask("reset")
    assert told == [False, False]
    for name in ("D0", "D1"):
        assert made.place(name) == pytest.approx((0, 0, 0), abs=1e-6)
        assert made.ask("isApiControlEnabled", name) is False
    assert made.simulator.stamp >= stamp, "time never goes back"
    made.run(3)
    assert made.place("D0")[2] == pytest.approx(1.3), "disarmed, it falls to the ground"


def test_every_drone_counts_from_its_own_start():
    made = Desk(drones(2, **FAST))
    made.ask("simSetVehiclePose", pose(1.0, 0.5, -2.0), True, "D1")
    assert made.place("D1") == pytest.approx((1.0, 0.5, -2.0))
    world = made.ask("simGetObjectPose", "D1")["position"]
    assert list(world.values()) == pytest.approx([3.0, 0.5, -3.3])


def test_a_drone_that_is_put_elsewhere_hovers_there():
    made = desk(**FAST)
    until(made, made.ask("takeoff", 20.0, ""))
    made.ask("simSetVehiclePose", pose(5.0, 5.0, -9.0), True, "")
    made.run(2)
    assert made.place() == pytest.approx((5, 5, -9), abs=0.05)
    lost = {"position": vec(*[float("nan")] * 3), "orientation": LEVEL}
    made.ask("simSetVehiclePose", lost, True, "")
    assert made.place() == pytest.approx((5, 5, -9), abs=0.05)
