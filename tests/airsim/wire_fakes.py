"""A tiny simulator for tests of the client: real sockets, point masses, and faults on demand."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import msgpack

from envs.airsim_wire.address import Address
from envs.airsim_wire.structs import CollisionInfo, KinematicsState, MultirotorState, Vector3r


class FakeSimulator:
    """Answers one connection after another in a thread; time is a counter.

    Args:
        version: What ``getServerVersion`` says.
        vehicles: Names.
        answer: Takes the place of an answer's bytes: from method and usual bytes to what is sent,
            None closes the connection.
    """

    def __init__(
        self,
        version: int = 4,
        vehicles: tuple[str, ...] = ("drone_0", "drone_1"),
        answer: Callable[[str, bytes], bytes | None] | None = None,
    ) -> None:
        self.version, self.vehicles = version, vehicles
        self.answer = answer or (lambda method, usual: usual)
        self.asked: list[str] = []
        self.params: dict[str, list] = {}
        self.clock, self.paused, self.frozen_clock = 1_000_000, False, False
        self.control = dict.fromkeys(vehicles, False)
        self.place = {name: [0.0, 0.0, 0.0] for name in vehicles}
        self.speed = {name: [0.0, 0.0, 0.0] for name in vehicles}
        self.hit = dict.fromkeys(vehicles, False)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address(port=self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        self._stop = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> FakeSimulator:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._listener.close()
        for each in self._open:
            each.close()
        self._thread.join(5)

    def _serve(self) -> None:
        self._listener.settimeout(0.05)
        while not self._stop:
            try:
                found, _ = self._listener.accept()
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except TimeoutError:
                continue
            except OSError:
                return
            self._open.append(found)
            threading.Thread(target=self._talk, args=(found,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        unpacker = msgpack.Unpacker(raw=False)
        with connection:
            while True:
                try:
                    data = connection.recv(1 << 16)
                    if not data:
                        return
                    unpacker.feed(data)
                    for _, number, method, params in unpacker:
                        if not self._reply(connection, number, method, params):
                            return
                except OSError:
                    return

    def _reply(self, connection: socket.socket, number: int, method: str, params: list) -> bool:
        self.asked.append(method)
        self.params[method] = params
        try:
            error, result = None, self._do(method, params)
        except KeyError as missing:
            error, result = f"rpclib: Vehicle API for {missing} is not available.", None
        if method == "moveByVelocity" and error is None:
            return True  # it is answered when it is over
        usual = msgpack.packb([1, number, error, result])
        sent = self.answer(method, usual)
        if sent is None:
            return False
        connection.sendall(sent)
        return True

    def _do(self, method: str, params: list) -> object:
        if method in ("getServerVersion", "getMinRequiredClientVersion"):
            return self.version
        if method == "listVehicles":
            return list(self.vehicles)
        if method == "getSettingsString":
            return "{}"
        if method == "simPause":
            self.paused = params[0]
        if method == "simContinueForTime":
            for name, place in self.place.items():
                self.place[name] = [
                    p + params[0] * v for p, v in zip(place, self.speed[name], strict=True)
                ]
            if not self.frozen_clock:
                self.clock += int(params[0] * 1e9)
        if method == "simSetVehiclePose":
            self.place[params[2]] = list(params[0]["position"].values())
        if method == "moveByVelocity":
            if not self.control[params[-1]]:
                raise KeyError(params[-1])
            self.speed[params[-1]] = params[:3]
        if method == "enableApiControl":
            self.control[params[1]] = params[0]
        return self._told(method, params)

    def _told(self, method: str, params: list) -> object:
        if method == "simIsPaused":
            return self.paused
        if method == "isApiControlEnabled":
            return self.control[params[0]]
        if method == "simGetCollisionInfo":
            told, self.hit[params[0]] = self.hit[params[0]], False
            return CollisionInfo(has_collided=told).to_map()
        if method == "getMultirotorState":
            moves = KinematicsState(
                Vector3r(*self.place[params[0]]), linear_velocity=Vector3r(*self.speed[params[0]])
            )
            return MultirotorState(kinematics_estimated=moves, timestamp=self.clock).to_map()
        if method in ("simGetObjectPose", "simGetVehiclePose"):
            return {
                "position": Vector3r().to_map(),
                "orientation": {"w_val": 1.0, "x_val": 0.0, "y_val": 0.0, "z_val": 0.0},
            }
        if method == "slow":
            time.sleep(params[0])
        return True if method in ("ping", "armDisarm") else None
