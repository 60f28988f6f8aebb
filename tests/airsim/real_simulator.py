"""A real simulator process for tests, and a proxy in front of it that spoils what it sends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from envs.airsim_wire.address import Address
from envs.airsim_wire.client import Client, make_connection


def settings(vehicles: tuple[str, ...], kind: str = "SimpleFlight") -> dict:
    spawns = {
        name: {"VehicleType": kind, "X": 0.0, "Y": 3.0 * place, "Z": 0.0}
        for place, name in enumerate(vehicles)
    }
    return {"SettingsVersion": 1.2, "SimMode": "Multirotor", "Vehicles": spawns}


class SimulatorProcess:
    """``python -m envs.airsim_server`` with point masses."""

    def __init__(self, folder: Path, vehicles=("drone_0", "drone_1"), version: int = 1) -> None:
        self._file = folder / "settings.json"
        self._file.write_text(json.dumps(settings(vehicles)))
        self._version, self.port = version, 0
        self.start()

    def start(self) -> None:
        words = ["--settings", str(self._file), "--port", str(self.port), "--physics", "point"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "envs.airsim_server", *words, "--version", str(self._version)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._process.stdout.readline().rsplit(":", 1)[1])

    @property
    def address(self) -> Address:
        return Address(port=self.port)

    def kill(self) -> None:
        if self._process.stdout.closed:
            return
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def freeze(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        if self.alive:
            os.kill(self._process.pid, signal.SIGCONT)

    def client(self) -> Client:
        client = Client(make_connection("wire", self.address, 2.0))
        client.open()
        return client


class Proxy:
    """Hands bytes on, until :attr:`spoil` says what becomes of the simulator's."""

    def __init__(self, target: Address) -> None:
        self._target, self.spoil = target, None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address(port=self._listener.getsockname()[1])
        self._sockets, self._stop = [], False
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._stop = True
        for each in [self._listener, *self._sockets]:
            each.close()

    def _serve(self) -> None:
        self._listener.settimeout(0.05)
        while not self._stop:
            try:
                near, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            far = socket.create_connection((self._target.host, self._target.port))
            for each in (near, far):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets += [near, far]
            threading.Thread(target=self._pump, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, spoiled: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if spoiled and self.spoil is not None:
                    data = self.spoil(data)
                if data is None:
                    break
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def gone(port: int, seconds: float = 5.0) -> bool:
    """Whether nobody listens at a port any more, some time from now."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            return True
        time.sleep(0.05)
    return False
