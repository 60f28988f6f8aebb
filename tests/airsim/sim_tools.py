"""What the tests of the simulator share: a raw client, calls without a wire, a server process."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack

from envs.airsim_server.calls import counts, perform
from envs.airsim_server.settings import read
from envs.airsim_server.simulator import Simulator

YAW = {"is_rate": True, "yaw_or_rate": 0.0}
LEVEL = {"w_val": 1.0, "x_val": 0.0, "y_val": 0.0, "z_val": 0.0}


def vec(x: float, y: float, z: float) -> dict[str, float]:
    return {"x_val": x, "y_val": y, "z_val": z}


def pose(x: float, y: float, z: float) -> dict[str, Any]:
    return {"position": vec(x, y, z), "orientation": LEVEL}


def drones(count: int, **own: Any) -> dict[str, Any]:
    """Settings of drones D0, D1, ... 2 m apart, at 1.3 m."""
    each = {
        f"D{i}": {"VehicleType": "SimpleFlight", "X": 2.0 * i, "Y": 0.0, "Z": -1.3}
        for i in range(count)
    }
    return {"SettingsVersion": 1.2, "SimMode": "Multirotor", "Vehicles": each, "Qmarl": own}


class Desk:
    """A simulator that is called without a wire."""

    def __init__(self, settings: Mapping[str, Any] | None = None, version: int = 1) -> None:
        self.simulator = Simulator(read(json.dumps(settings or {})), version)  # type: ignore[arg-type]
        self.simulator.paused = True
        self._table = counts(version)

    def ask(self, name: str, *given: Any) -> Any:
        """Does a call; gives its result, or what stands for one that is still to come."""
        error, result = perform(self._table, self.simulator, name, list(given))
        assert error is None, error
        return result

    def error(self, name: str, *given: Any) -> str:
        error, _ = perform(self._table, self.simulator, name, list(given))
        assert error is not None
        return error

    def take_off(self, *names: str) -> None:
        for name in names or ("",):
            self.ask("enableApiControl", True, name)
            self.ask("armDisarm", True, name)

    def place(self, name: str = "") -> tuple[float, float, float]:
        found = self.ask("simGetVehiclePose", name)["position"]
        return found["x_val"], found["y_val"], found["z_val"]

    def run(self, seconds: float) -> None:
        self.simulator.advance(round(seconds * 1e9))


class Raw:
    """A client of a few lines, which can say what no client would."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self._unpacker = msgpack.Unpacker(raw=False)
        self._number = 0

    def send(self, name: str, *given: Any) -> int:
        self._number += 1
        self.socket.sendall(msgpack.packb([0, self._number, name, list(given)]))
        return self._number

    def answer(self) -> tuple[int, str | None, Any]:
        while True:
            for _, number, error, result in self._unpacker:
                return number, error, result
            data = self.socket.recv(1 << 16)
            if not data:
                raise ConnectionError("closed")
            self._unpacker.feed(data)

    def ask(self, name: str, *given: Any) -> Any:
        self.send(name, *given)
        _, error, result = self.answer()
        assert error is None, error
        return result

    def is_closed(self) -> bool:
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True


@contextmanager
def process(folder: Path, settings: Mapping[str, Any], *words: str) -> Iterator[tuple[Any, int]]:
    """A server in a process of its own, and its port."""
    path = folder / "settings.json"
    path.write_text(json.dumps(settings))
    command = [sys.executable, "-m", "envs.airsim_server", "--settings", str(path), "--port", "0"]
    with subprocess.Popen([*command, *words], stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            line = child.stdout.readline()
            assert line.startswith("serving on 127.0.0.1:"), line
            yield child, int(line.rsplit(":", 1)[1])
        finally:
            child.kill()
