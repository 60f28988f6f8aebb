"""Images: what a camera saw as AirSim's image types, as bytes, numbers or PNG."""

from __future__ import annotations

import colorsys
import struct
import zlib
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from envs.airsim_server import frames
from envs.airsim_server.camera import FAR, Picture
from envs.airsim_server.rays import BORDER, NOTHING
from envs.airsim_server.scene import GROUND
from envs.airsim_wire.structs import ImageRequest, ImageResponse, ImageType

if TYPE_CHECKING:
    from envs.airsim_server.scene import Scene
    from qmarl.types import Array

_VIS_RANGE: Final = 100.0  # m that span the greys of DepthVis
_BASELINE: Final = 0.25  # m between the two eyes of the disparity
_SUN: Final = np.array([0.45, 0.35, 0.82])
_SKY_LOW, _SKY_HIGH = np.array([206, 222, 236.0]), np.array([98, 150, 214.0])
_TILES: Final = np.array([[112, 128, 104], [126, 142, 116.0]])
_HAZE: Final = 250.0  # m


def answer(request: ImageRequest, picture: Picture, scene: Scene, stamp: int) -> ImageResponse:
    """One image in the form that was asked for."""
    values, colours = _content(request.image_type, picture, scene)
    floats: tuple[float, ...] = ()
    data = b""
    if request.pixels_as_float:
        floats = tuple(values.tolist())
    else:
        data = _bytes(colours, picture, request.compress)
    return ImageResponse(
        data or b"\x00",
        floats or (0.0,),
        frames.vector(picture.place),
        request.camera_name,
        frames.quaternion(picture.turn),
        stamp,
        "",
        request.pixels_as_float,
        request.compress,
        picture.capture.width,
        picture.capture.height,
        request.image_type,
        request.annotation_name,
    )


def png(pixels: Array) -> bytes:
    """RGB pixels ``(height, width, 3)`` uint8 as a PNG file."""
    height, width = pixels.shape[:2]
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], 1)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes(), 3)), (b"IEND", b""))
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@cache
def colour_of(number: int) -> tuple[int, int, int]:
    """The colour of a number in a segmented image; 0 is black."""
    if number == 0:
        return 0, 0, 0
    shade = colorsys.hsv_to_rgb(number * 0.61803 % 1, 0.55 + number % 3 * 0.2, 0.95)
    red, green, blue = (round(255 * part) for part in shade)
    return red, green, blue


def _bytes(colours: Array, picture: Picture, compress: bool) -> bytes:
    pixels = colours.reshape(picture.capture.height, picture.capture.width, 3)
    return png(pixels) if compress else np.ascontiguousarray(pixels[..., ::-1]).tobytes()


def _content(image_type: int, picture: Picture, scene: Scene) -> tuple[Array, Array]:
    """An image as numbers ``(R,)`` or ``(3 R,)``, and as colours ``(R, 3)`` uint8."""
    distance = picture.sight.distance.astype(np.float64)
    planar = np.where(picture.sight.met == NOTHING, FAR, distance * picture.ahead)
    if image_type == ImageType.DEPTH_PLANAR:
        return planar, _grey(planar / 255)
    if image_type == ImageType.DEPTH_PERSPECTIVE:
        return distance, _grey(distance / 255)
    if image_type == ImageType.DEPTH_VIS:
        return planar / _VIS_RANGE, _grey(planar / _VIS_RANGE)
    if image_type == ImageType.DISPARITY_NORMALIZED:
        near = _BASELINE / np.maximum(planar, _BASELINE)
        return near, _grey(near)
    return _of_colours(_colours(image_type, picture, scene))


def _colours(image_type: int, picture: Picture, scene: Scene) -> Array:
    """An image ``(R, 3)`` uint8 of the types that have colours."""
    if image_type == ImageType.SCENE:
        return _scenery(picture, scene)
    if image_type in (ImageType.SEGMENTATION, ImageType.ANNOTATION):
        shown: Array = _table(picture, scene)[picture.sight.met]
        return shown
    if image_type == ImageType.INFRARED:
        numbers = np.array([*_numbers(picture, scene), 0, scene.number(GROUND)], np.uint8)
        return np.repeat(numbers[picture.sight.met][:, None], 3, 1)
    if image_type == ImageType.SURFACE_NORMALS:
        normal = frames.turned(picture.sight.normal) @ frames.matrix(picture.turn)
        return np.clip(127.5 + 127.5 * normal, 0, 255).astype(np.uint8)
    return np.zeros((len(picture.ahead), 3), np.uint8)  # optical flow and lighting: nothing


def _of_colours(colours: Array) -> tuple[Array, Array]:
    return colours.ravel() / 255, colours


def _grey(values: Array) -> Array:
    shade = np.clip(255 * values, 0, 255).astype(np.uint8)
    return np.repeat(shade[:, None], 3, 1)


def _numbers(picture: Picture, scene: Scene) -> list[int]:
    return [scene.number(name) for name in picture.names]


def _table(picture: Picture, scene: Scene) -> Array:
    """Colours by what a ray met; the border is the last but none, nothing the last but one."""
    numbers = [*_numbers(picture, scene), 0, scene.number(GROUND)]
    return np.array([colour_of(number) for number in numbers], np.uint8)


def _scenery(picture: Picture, scene: Scene) -> Array:
    """The world in daylight: sky, tiled ground and shaded bodies in the haze."""
    sight, rays = picture.sight, picture.rays
    height = np.clip(rays[:, 2:], 0, 1) ** 0.6
    sky = _SKY_LOW + (_SKY_HIGH - _SKY_LOW) * height
    table = _table(picture, scene).astype(float)
    body = table[sight.met] * 0.85
    border = sight.met == BORDER
    body[border] = _tiles(picture, border)
    light = 0.55 + 0.45 * np.clip(sight.normal @ _SUN, 0, 1)
    clear = np.exp(-np.minimum(sight.distance, FAR) / _HAZE)[:, None]
    seen = sky + (body * light[:, None] - sky) * clear
    seen[sight.met == NOTHING] = sky[sight.met == NOTHING]
    found: Array = np.clip(seen, 0, 255).astype(np.uint8)
    return found


def _tiles(picture: Picture, there: Array) -> Array:
    """Colours of the ground, in tiles of 1 m within larger ones of 5 m."""
    place = frames.turned(picture.place)
    points = place + picture.sight.distance[there, None] * picture.rays[there]
    small = np.floor(points[:, :2]).sum(-1).astype(int) % 2
    large = np.floor(points[:, :2] / 5).sum(-1).astype(int) % 2
    shade: Array = _TILES[small] * np.where(large, 1.0, 0.9)[:, None]
    return shade
