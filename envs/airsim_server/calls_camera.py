"""Calls about cameras: images, poses, fields of view, and what is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from envs.airsim_server import camera, images
from envs.airsim_server.arguments import body, finite, record, text, whole
from envs.airsim_server.call_table import Call, both
from envs.airsim_server.calls_vehicle import mount_of
from envs.airsim_server.detections import Watch, detect
from envs.airsim_server.errors import CallError
from envs.airsim_wire.structs import ImageRequest, Pose

if TYPE_CHECKING:
    from envs.airsim_server.simulator import Simulator

_MOST_IMAGES: Final = 64


def _images(simulator: Simulator, requests: object, name: object, *_: object) -> list[Any]:
    if not isinstance(requests, list) or len(requests) > _MOST_IMAGES:
        raise CallError(f"up to {_MOST_IMAGES} images can be taken at once")
    wanted = [record(ImageRequest, each, simulator) for each in requests]
    taken: dict[tuple[str, int, int, float], camera.Picture] = {}
    return [_image(simulator, each, name, taken).to_map(simulator.version) for each in wanted]


def _image(
    simulator: Simulator,
    request: ImageRequest,
    name: object,
    taken: dict[tuple[str, int, int, float], camera.Picture],
) -> Any:
    """One image; what the same camera has just seen is not looked at again."""
    own = body(simulator, name)
    size = camera.capture_of(camera.camera(simulator, own, request.camera_name), request.image_type)
    key = (request.camera_name, size.width, size.height, size.fov)
    if key not in taken:
        seen = sum(picture.capture.width * picture.capture.height for picture in taken.values())
        if seen + size.width * size.height > camera.MOST_PIXELS:
            raise CallError(f"more than {camera.MOST_PIXELS} pixels were asked for at once")
        taken[key] = camera.take(simulator, own, request.camera_name, request.image_type)
    return images.answer(request, taken[key], simulator.scene, simulator.stamp)


def _single(
    simulator: Simulator, camera_name: object, image_type: object, name: object, *_: object
) -> bytes:
    request = ImageRequest(text(camera_name), whole(image_type))
    found: bytes = _image(simulator, request, name, {}).image_data_uint8
    return found


def _info(simulator: Simulator, camera_name: object, name: object, *_: object) -> dict[str, Any]:
    return camera.info(simulator, body(simulator, name), text(camera_name)).to_map()


def _set_pose(
    simulator: Simulator, camera_name: object, pose: object, name: object, *_: object
) -> None:
    mount = mount_of(record(Pose, pose, simulator))
    camera.set_mount(simulator, body(simulator, name), text(camera_name), mount)


def _set_view(
    simulator: Simulator, camera_name: object, degrees: object, name: object, *_: object
) -> None:
    (view,) = finite(degrees)
    camera.set_view(simulator, body(simulator, name), text(camera_name), view)


def _look_for(
    simulator: Simulator, name: object, kind: object, pattern: object, vehicle: object, _: object
) -> None:
    own, key = body(simulator, vehicle), (text(name), whole(kind))
    own.watches[key] = own.watches.get(key, Watch()).looking_for(text(pattern))


def _look_within(
    simulator: Simulator, name: object, kind: object, radius: object, vehicle: object, _: object
) -> None:
    own, key = body(simulator, vehicle), (text(name), whole(kind))
    (centimetres,) = finite(radius)
    own.watches[key] = replace(own.watches.get(key, Watch()), radius=centimetres / 100)


def _look_no_more(
    simulator: Simulator, name: object, kind: object, vehicle: object, _: object
) -> None:
    body(simulator, vehicle).watches.pop((text(name), whole(kind)), None)


def _detections(
    simulator: Simulator, name: object, kind: object, vehicle: object, _: object
) -> list[Any]:
    own, key = body(simulator, vehicle), (text(name), whole(kind))
    watch = own.watches.get(key, Watch())
    return [each.to_map() for each in detect(simulator, own, *key, watch)]


def _distortion(_: Simulator, *given: object) -> list[float]:
    del given
    return [0.0] * 5


def _nothing(_: Simulator, *given: object) -> None:
    del given


CAMERA_CALLS: Final = {
    "simGetImages": Call(_images, 3, 2),
    "simGetImage": Call(_single, 4, 4),
    "simGetCameraInfo": Call(_info, 3, 2),
    "simSetCameraPose": Call(_set_pose, 4, 3),
    "simSetCameraFov": Call(_set_view, 4, 3),
    "simAddDetectionFilterMeshName": both(_look_for, 5),
    "simSetDetectionFilterRadius": both(_look_within, 5),
    "simClearDetectionMeshNames": both(_look_no_more, 4),
    "simGetDetections": both(_detections, 4),
    "simGetDistortionParams": Call(_distortion, 3, 2),
    "simSetDistortionParam": Call(_nothing, 5, 4),
}
"""Calls about cameras; AirSim's own end with ``external``."""
