"""A simulator's process: started with its own settings and port, watched, and ended with us."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from qmarl.errors import ConfigurationError, UnreachableError

if TYPE_CHECKING:
    from envs.airsim_wire.address import Address
    from envs.backends.airsim_config import AirsimLaunchConfig

_OURS: Final = "qmarl"
_ASK: Final = 0.05  # s between two looks
_TRIES: Final = 200  # ports
# The shell ends the simulator and all of its children when we are gone, however we went: it reads
# from a pipe that we hold open.
_GUARD: Final = (
    'exec 3<&0; "$@" </dev/null 3<&- & sim=$!; '
    "(cat <&3 >/dev/null; kill -9 -$$) & wait $sim; kill -9 -$$"
)


@final
class SimulatorProcess:
    """One simulator that we start.

    Args:
        config: How.
        address: Where it is to listen.
    """

    def __init__(self, config: AirsimLaunchConfig, address: Address) -> None:
        self._config, self._address = config, address
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = ""

    def start(self, settings: str) -> None:
        """Starts it unless it runs, and waits until it listens.

        Args:
            settings: Text of its settings.json.

        Raises:
            ConfigurationError: The command cannot be run.
            UnreachableError: It ended at once, or does not listen in time.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self.end()
        self._folder = tempfile.mkdtemp(prefix="qmarl-airsim-")
        path = Path(self._folder) / "settings.json"
        path.write_text(settings, encoding="utf-8")
        words = self._words(str(path))
        if shutil.which(words[0]) is None:
            raise ConfigurationError(f"env.airsim.launch.command: cannot run '{words[0]}'")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", _GUARD, "sh", *words],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._await()

    def end(self) -> None:
        """Ends it and all of its children; does nothing where there is none."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = ""

    @property
    def _log(self) -> Path:
        return Path(self._folder) / "output.log"

    def _words(self, settings: str) -> list[str]:
        command, port = self._config.command, str(self._address.port)
        if command == (_OURS,):
            own = [sys.executable, "-m", "envs.airsim_server", "--settings", settings]
            return [*own, "--port", port, "--physics", self._config.physics]
        return [word.replace("{settings}", settings).replace("{port}", port) for word in command]

    def _await(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + self._config.start_s
        while not _listens(self._address):
            if self._process.poll() is not None:
                raise UnreachableError(
                    f"the simulator at {self._address} ended as soon as it was started: "
                    f"{self._last_words()}"
                )
            if time.monotonic() > deadline:
                self.end()
                raise UnreachableError(
                    f"the simulator that was started does not listen at {self._address} after "
                    f"{self._config.start_s:g} s (env.airsim.launch.start_s)"
                )
            time.sleep(_ASK)

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "no word")


def free_port(first: int) -> int:
    """The first port from ``first`` on that nobody listens at.

    Raises:
        UnreachableError: There is none among the next 200.
    """
    for port in range(first, min(first + _TRIES, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise UnreachableError(f"env.airsim.launch.port: no free port in the {_TRIES} from {first} on")


def _listens(address: Address) -> bool:
    try:
        with socket.create_connection((address.host, address.port), 1.0):
            return True
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()
