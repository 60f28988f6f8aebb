"""A typed client: which protocol a simulator speaks, and its calls with checked answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, final

from envs.airsim_wire import calls
from envs.airsim_wire.calls import Call
from envs.airsim_wire.codec import CLASSIC, COSYS, Version, WireError
from envs.airsim_wire.connection import LostError, WireConnection
from envs.airsim_wire.packages import PackageConnection
from qmarl.errors import UnreachableError

if TYPE_CHECKING:
    from envs.airsim_wire.address import Address
    from envs.airsim_wire.connection import Connection, Request

Result = TypeVar("Result")

ClientName = Literal["wire", "airsim", "cosysairsim"]
"""Our own connection, or an installed package's."""


def make_connection(name: ClientName, address: Address, timeout_s: float) -> Connection:
    """Makes a connection that is not open yet.

    Raises:
        ConfigurationError: The package is not installed.
    """
    if name == "wire":
        return WireConnection(address, timeout_s)
    return PackageConnection(name, address, timeout_s)


@final
class Client:
    """A simulator's calls, over a connection of any kind.

    Args:
        connection: How to reach the simulator.

    Attributes:
        connection: How to reach the simulator.
        version: The protocol that it speaks, as of :meth:`open`.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.version: Version = CLASSIC

    def open(self) -> Version:
        """Connects anew and finds out which protocol is spoken.

        Raises:
            LostError: Nobody answers.
            UnreachableError: What answers speaks neither AirSim's protocol nor Cosys-AirSim's.
        """
        self.connection.open()
        asked = [calls.server_version(), calls.min_client_version()]
        spoken, least = self.connection.ask([call.request(CLASSIC) for call in asked])
        for version in (CLASSIC, COSYS):
            if spoken == version and isinstance(least, int) and least <= version:
                self.version = version
                return version
        self.close()
        raise UnreachableError(
            f"the simulator at {self.connection.address} speaks version {spoken!r} and wants "
            f"clients of {least!r} or later; allowed are 1 (AirSim) and 4 (Cosys-AirSim)"
        )

    def call(self, call: Call[Result], timeout_s: float | None = None) -> Result:
        """Makes one call and waits for its answer.

        Raises:
            LostError: There was no answer in time, or none that makes sense.
            RefusedError: The simulator refused.
        """
        return self.batch([call], timeout_s)[0]

    def batch(self, made: Sequence[Call[Result]], timeout_s: float | None = None) -> list[Result]:
        """Makes calls at once and waits for all their answers, as :meth:`call` does."""
        version = self.version
        found = self.connection.ask([call.request(version) for call in made], timeout_s)
        try:
            return [call.read(value, version) for call, value in zip(made, found, strict=True)]
        except WireError as error:
            self.close()
            raise LostError(f"the simulator at {self.connection.address}: {error}") from None

    def ask(self, requests: Sequence[Request], timeout_s: float | None = None) -> list[Any]:
        """Makes calls of plain data; see :meth:`envs.airsim_wire.connection.Connection.ask`."""
        return self.connection.ask(requests, timeout_s)

    def close(self) -> None:
        """Lets go of the connection."""
        self.connection.close()
