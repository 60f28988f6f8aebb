"""What a depth camera and a lidar see, as points in a text file.

qmarl sim serve --version 4 --settings lidar.json &      with a sensor of type 6 in lidar.json
python examples/airsim/point_cloud.py
"""

from __future__ import annotations

import math
from typing import Any

import common
import numpy as np


def depth_points(response: Any, degrees: float) -> np.ndarray:
    """Points ``(n, 3)`` forward, right and down of a camera, from depth along its rays."""
    width, height = response.width, response.height
    side = 2 * math.tan(math.radians(degrees) / 2) / width
    right = side * (np.arange(width) - (width - 1) / 2)
    down = side * (np.arange(height) - (height - 1) / 2)
    y, z = np.broadcast_arrays(right, down[:, None])
    rays = np.stack([np.ones_like(y), y, z], -1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    depth = np.array(response.image_data_float).reshape(height, width)
    return (rays * depth[..., None])[depth < 1000]


def main() -> None:
    """Makes the calls of AirSim's ``point_cloud.py`` and ``drone_lidar.py``."""
    given = common.arguments(__doc__)
    airsim = common.package(given.client)
    client = airsim.MultirotorClient(port=given.port, timeout_value=120)
    client.confirmConnection()
    client.enableApiControl(True)
    client.armDisarm(True)
    client.takeoffAsync().join()
    kind = airsim.ImageType.DepthPerspective
    print("a PNG file of", len(client.simGetImage("0", kind)), "bytes")
    response = client.simGetImages([airsim.ImageRequest("0", kind, True, False)])[0]
    points = depth_points(response, client.simGetCameraInfo("0").fov)
    np.savetxt(given.out / "depth.asc", points, "%.3f")
    print(len(points), "points of the camera")
    cloud = np.array(client.getLidarData().point_cloud, np.float32)
    cloud = cloud[: len(cloud) // 3 * 3].reshape(-1, 3)
    np.savetxt(given.out / "lidar.asc", cloud, "%.3f")
    print(len(cloud), "points of the lidar")
    client.armDisarm(False)
    client.reset()
    client.enableApiControl(False)
    print("done")


if __name__ == "__main__":
    main()
