"""Two drones at once: takeoff, flights to two places, images of both.

qmarl sim serve --version 4 --settings two.json &      with Drone1 and Drone2 in two.json
python examples/airsim/multi_agent_drone.py
"""

from __future__ import annotations

import common
import images

DRONES = ("Drone1", "Drone2")
GOALS = ((-5, 5, -10), (5, -5, -10))


def main() -> None:
    """Makes the calls of AirSim's ``multi_agent_drone.py``."""
    given = common.arguments(__doc__)
    airsim = common.package(given.client)
    client = airsim.MultirotorClient(port=given.port, timeout_value=120)
    client.confirmConnection()
    for drone in DRONES:
        client.enableApiControl(True, drone)
        client.armDisarm(True, drone)
    for flight in [client.takeoffAsync(vehicle_name=drone) for drone in DRONES]:
        flight.join()
    flights = [
        client.moveToPositionAsync(*goal, 5, vehicle_name=drone)
        for drone, goal in zip(DRONES, GOALS, strict=True)
    ]
    for flight in flights:
        flight.join()
    for drone in DRONES:
        place = client.getMultirotorState(vehicle_name=drone).kinematics_estimated.position
        print(f"{drone} arrived at {place.x_val:.1f} {place.y_val:.1f} {place.z_val:.1f}")
        images.write(airsim, images.take(airsim, client, drone), given.out, drone)
    for drone in DRONES:
        client.armDisarm(False, drone)
    client.reset()
    for drone in DRONES:
        client.enableApiControl(False, drone)
    print("done")


if __name__ == "__main__":
    main()
