"""Two drones in exact steps: time stands still while scripts think.

qmarl sim serve --version 4 --settings two.json &      with Drone1 and Drone2 in two.json
python examples/airsim/lockstep.py
"""

from __future__ import annotations

import math

import common

DRONES = ("Drone1", "Drone2")
STEP = 0.1
STEPS = 50


def command(step: int, index: int) -> tuple[float, float, float]:
    """A velocity in m/s, north, east and down."""
    turn = 0.1 * step + index
    return math.cos(turn), math.sin(turn), -0.25 if step < STEPS / 2 else 0.125


def main() -> None:
    """Steps, and prints where the drones are in the end."""
    given = common.arguments(__doc__)
    airsim = common.package(given.client)
    client = airsim.MultirotorClient(port=given.port, timeout_value=60)
    client.simPause(True)
    client.reset()
    for drone in DRONES:
        client.enableApiControl(True, drone)
        client.armDisarm(True, drone)
        client.simSetVehiclePose(airsim.Pose(airsim.Vector3r(0, 0, -4)), True, drone)
    for step in range(STEPS):
        for index, drone in enumerate(DRONES):
            client.moveByVelocityAsync(*command(step, index), 1, vehicle_name=drone)
        client.simContinueForTime(STEP)
    for drone in DRONES:
        place = client.simGetGroundTruthKinematics(drone).position
        print(drone, place.x_val, place.y_val, place.z_val)
    client.simPause(False)
    client.reset()
    print("done")


if __name__ == "__main__":
    main()
