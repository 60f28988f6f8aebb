"""One car: forward, around a bend, backwards, brakes, images, and back to the start.

qmarl sim serve --version 4 --settings car.json &      with {"SimMode": "Car"} in car.json
python examples/airsim/hello_car.py
"""

from __future__ import annotations

from typing import Any

import common
import images


def drive(client: Any, controls: Any, what: str) -> None:
    """Drives for three seconds and says how fast the car is then."""
    client.setCarControls(controls)
    common.wait(client, 3)
    state = client.getCarState()
    print(f"{what}: speed {state.speed:.1f} m/s, gear {state.gear}")


def tour(client: Any, controls: Any) -> None:
    """Goes forward, to the right and backwards, and brakes."""
    controls.throttle, controls.steering = 0.5, 0
    drive(client, controls, "forward")
    controls.steering = 1
    drive(client, controls, "forward and right")
    controls.throttle, controls.steering = -0.5, 0
    controls.is_manual_gear, controls.manual_gear = True, -1
    drive(client, controls, "backward")
    controls.is_manual_gear, controls.manual_gear = False, 0
    controls.throttle, controls.brake = 0, 1
    drive(client, controls, "brakes")
    controls.brake = 0


def main() -> None:
    """Makes the calls of AirSim's ``hello_car.py``."""
    given = common.arguments(__doc__)
    airsim = common.package(given.client)
    client = airsim.CarClient(port=given.port, timeout_value=120)
    client.confirmConnection()
    client.enableApiControl(True)
    print("API control:", client.isApiControlEnabled())
    controls = airsim.CarControls()
    for lap in range(2):
        tour(client, controls)
        images.write(airsim, images.take(airsim, client), given.out, f"car-{lap}")
    client.reset()
    client.enableApiControl(False)
    print("done")


if __name__ == "__main__":
    main()
