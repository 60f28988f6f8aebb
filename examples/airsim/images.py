"""Images of the examples: the four kinds that AirSim's own scripts ask for, written to files."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np


def take(airsim: ModuleType, client: Any, vehicle: str = "") -> list[Any]:
    """Takes depth for people, depth as numbers, a picture as PNG and the same as bytes."""
    kinds = airsim.ImageType
    requests = [
        airsim.ImageRequest("0", kinds.DepthVis),
        airsim.ImageRequest("1", kinds.DepthPerspective, True),
        airsim.ImageRequest("1", kinds.Scene),
        airsim.ImageRequest("1", kinds.Scene, False, False),
    ]
    return list(client.simGetImages(requests, vehicle_name=vehicle))


def write(airsim: ModuleType, responses: list[Any], out: Path, name: str) -> None:
    """Writes images as PFM, PNG and PPM, and says how large they are."""
    for index, response in enumerate(responses):
        path = out / f"{name}-{index}"
        if response.pixels_as_float:
            airsim.write_pfm(str(path.with_suffix(".pfm")), airsim.get_pfm_array(response))
        elif response.compress:
            airsim.write_file(str(path.with_suffix(".png")), response.image_data_uint8)
        else:
            flat = np.frombuffer(response.image_data_uint8, np.uint8)
            colours = flat.reshape(response.height, response.width, 3)[..., ::-1]
            head = f"P6 {response.width} {response.height} 255\n".encode()
            path.with_suffix(".ppm").write_bytes(head + colours.tobytes())
        print(f"image {path.name}: type {response.image_type}, {response.width} pixels wide")
