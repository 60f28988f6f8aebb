"""One drone: sensors, takeoff, a flight to a place, images, and back to the start.

qmarl sim serve --version 4 &
python examples/airsim/hello_drone.py
"""

from __future__ import annotations

import common
import images


def main() -> None:
    """Makes the calls of AirSim's ``hello_drone.py``."""
    given = common.arguments(__doc__)
    airsim = common.package(given.client)
    client = airsim.MultirotorClient(port=given.port, timeout_value=120)
    client.confirmConnection()
    client.enableApiControl(True)
    print("state:", client.getMultirotorState())
    for read in ("getImuData", "getBarometerData", "getMagnetometerData", "getGpsData"):
        print(read, getattr(client, read)())

    client.armDisarm(True)
    client.takeoffAsync().join()
    client.moveToPositionAsync(-10, 10, -10, 5).join()
    client.hoverAsync().join()
    place = client.getMultirotorState().kinematics_estimated.position
    print(f"arrived at {place.x_val:.1f} {place.y_val:.1f} {place.z_val:.1f}")
    images.write(airsim, images.take(airsim, client), given.out, "drone")

    client.reset()
    client.armDisarm(False)
    client.enableApiControl(False)
    print("done")


if __name__ == "__main__":
    main()
