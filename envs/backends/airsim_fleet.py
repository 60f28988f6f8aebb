"""The simulators that this process has taken: which ones, by whom, and starting them where asked.

A simulator serves one process at a time, which a lock file of this machine sees to; it goes when
the process does. Worlds of one process that are used in turns (training's and an evaluation's) hand
their simulators over to each other.
"""

from __future__ import annotations

import os
import re
import tempfile
import weakref
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, final

from envs.airsim_wire.address import Address
from envs.backends.airsim_process import SimulatorProcess, free_port
from qmarl.errors import UnreachableError

if TYPE_CHECKING:
    from envs.backends.airsim_config import AirsimConfig

_USUAL: Final = str(Address())
Settings = Callable[[int], str]
"""Makes the text of a settings.json for a port."""


@final
class Berth:
    """A simulator that this process has taken.

    Args:
        address: Where it listens.
        lock: The open lock file; None where there is none.
        process: The simulator's process, where we start it.

    Attributes:
        address: Where it listens.
        owner: The world's backend that uses it now.
    """

    def __init__(
        self, address: Address, lock: IO[str] | None, process: SimulatorProcess | None = None
    ) -> None:
        self.address, self._lock, self._process = address, lock, process
        self.owner: object = None

    @property
    def started_by_us(self) -> bool:
        """Whether we can start it again."""
        return self._process is not None

    def start(self, settings: Settings) -> None:
        """Starts the simulator unless it runs, or is not ours to start.

        Raises:
            UnreachableError: It does not come up.
        """
        if self._process is not None:
            self._process.start(settings(self.address.port))

    def end(self) -> None:
        """Ends a simulator that we started, such as one that does not answer."""
        if self._process is not None:
            self._process.end()

    def close(self) -> None:
        """Ends what we started and lets other processes have the place."""
        self.end()
        if self._lock is not None:
            self._lock.close()


@final
class Fleet:
    """All simulators of one configuration.

    Args:
        config: Where they are, or how they are started.
    """

    def __init__(self, config: AirsimConfig) -> None:
        self._config = config
        self._berths: list[Berth] = []
        self._finalizer = weakref.finalize(self, _close, self._berths)

    def take(self, count: int, owner: object) -> list[Berth]:
        """The first ``count`` simulators, now used by ``owner``.

        Raises:
            UnreachableError: Others use too many of them.
        """
        while len(self._berths) < count:
            self._berths.append(self._launched() if self._config.launch.command else self._free())
        for berth in self._berths[:count]:
            berth.owner = owner
        return self._berths[:count]

    def give_back(self, berths: Sequence[Berth], owner: object) -> None:
        """Lets others have what ``owner`` used; simulators that we started stay for the next."""
        for berth in berths:
            if berth.owner is not owner:
                continue
            berth.owner = None
            if not berth.started_by_us:
                self._berths.remove(berth)
                berth.close()

    def close(self) -> None:
        """Ends every simulator that was started and gives all places back."""
        _close(self._berths)

    def _free(self) -> Berth:
        mine, others = {berth.address for berth in self._berths}, []
        for text in self._config.addresses or (_USUAL,):
            address = Address.parse(text)
            if address in mine:
                continue
            taken, lock, holder = _locked(address)
            if taken:
                return Berth(address, lock)
            others.append(f"{address} (process {holder})")
        raise UnreachableError(
            f"every simulator is in use by another program: {', '.join(others)}; stop that one, or "
            "name one more in env.airsim.addresses"
        )

    def _launched(self) -> Berth:
        port = self._config.launch.port + len(self._berths)
        while True:
            address = Address(port=free_port(port))
            taken, lock, _ = _locked(address)
            if taken:
                return Berth(address, lock, SimulatorProcess(self._config.launch, address))
            port = address.port + 1


@lru_cache(maxsize=64)
def fleet_of(config: AirsimConfig) -> Fleet:
    """This process's fleet of a configuration: the same one for all worlds."""
    return Fleet(config)


def _close(berths: list[Berth]) -> None:
    while berths:
        berths.pop().close()


def _locked(address: Address) -> tuple[bool, IO[str] | None, str]:
    """Takes a simulator's lock: whether it is ours, the lock, and who holds it if it is not."""
    try:
        import fcntl
    except ImportError:  # not on this system: nobody is kept out
        return True, None, ""
    name = re.sub(r"[^\w.-]", "-", str(address))
    path = Path(tempfile.gettempdir()) / f"qmarl-airsim-{name}.lock"
    try:
        handle = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+")
    except OSError:  # another person's file
        return True, None, ""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = handle.read(16).strip()
        handle.close()
        return False, None, holder or "unknown"
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return True, handle, ""
