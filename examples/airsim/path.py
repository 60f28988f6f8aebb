"""One drone flies along a path, looks where it flies, comes back and lands.

qmarl sim serve --version 4 &
python examples/airsim/path.py
"""

from __future__ import annotations

import common

HEIGHT = -5


def main() -> None:
    """Makes the calls of AirSim's ``path.py``."""
    given = common.arguments(__doc__)
    airsim = common.package(given.client)
    client = airsim.MultirotorClient(port=given.port, timeout_value=240)
    client.confirmConnection()
    client.enableApiControl(True)
    client.armDisarm(True)
    landed = client.getMultirotorState().landed_state == airsim.LandedState.Landed
    (client.takeoffAsync() if landed else client.hoverAsync()).join()
    common.wait(client, 1)
    if client.getMultirotorState().landed_state == airsim.LandedState.Landed:
        raise SystemExit("takeoff failed")
    client.moveToZAsync(HEIGHT, 1).join()
    corners = [(30, 0), (30, -30), (0, -30), (0, 0)]
    client.moveOnPathAsync(
        [airsim.Vector3r(x, y, HEIGHT) for x, y in corners],
        12,
        120,
        airsim.DrivetrainType.ForwardOnly,
        airsim.YawMode(False, 0),
        20,
        1,
    ).join()
    client.moveToPositionAsync(0, 0, HEIGHT, 1).join()
    place = client.getMultirotorState().kinematics_estimated.position
    print(f"back at {place.x_val:.1f} {place.y_val:.1f} {place.z_val:.1f}")
    client.landAsync().join()
    state = client.getMultirotorState()
    print("landed:", state.landed_state == airsim.LandedState.Landed)
    client.armDisarm(False)
    client.enableApiControl(False)
    print("done")


if __name__ == "__main__":
    main()
