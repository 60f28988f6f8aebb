"""A connection to a simulator: msgpack-RPC over TCP that pipelines, and never waits for ever."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol, final

import msgpack  # type: ignore[import-untyped] # it has no stubs

from envs.airsim_wire.address import Address
from envs.airsim_wire.codec import WireError
from qmarl.errors import RunError, UnreachableError

_MOST_BYTES: Final = 128 * 2**20  # of a reply: four 4K images as floats
_CHUNK: Final = 1 << 18
_REQUEST, _RESPONSE, _FIELDS = 0, 1, 4


class LostError(UnreachableError):
    """The simulator is not there, does not answer in time, or answers what no simulator says."""


class RefusedError(RunError):
    """The simulator answered a call with an error.

    Args:
        method: What was called.
        said: The simulator's own words.
    """

    def __init__(self, method: str, said: str) -> None:
        super().__init__(f"the simulator refused '{method}': {said}")
        self.method, self.said = method, said


class Request(NamedTuple):
    """One call.

    Attributes:
        method: Its name.
        params: Plain data.
        quiet: Whether its answer is not waited for: a move is answered when it is over.
    """

    method: str
    params: tuple[Any, ...] = ()
    quiet: bool = False


class Connection(Protocol):
    """A way to a simulator."""

    address: Address

    @property
    def connected(self) -> bool:
        """Whether there is a socket."""
        ...

    def open(self) -> None:
        """Connects anew, on a new socket; :class:`LostError` where nobody listens."""
        ...

    def ask(self, requests: Sequence[Request], timeout_s: float | None = None) -> list[Any]:
        """Sends all requests at once and waits for the answers of those that are not quiet.

        Args:
            requests: In the order in which they are sent.
            timeout_s: Seconds for all of them together; the connection's own when left out.

        Returns:
            The answers, in the requests' order.

        Raises:
            LostError: There was no answer in time, or none that makes sense; the connection is
                closed then.
            RefusedError: The simulator refused one of them, or a quiet one since the last call.
        """
        ...

    def close(self) -> None:
        """Lets go of the socket; does nothing where there is none."""
        ...


@final
class WireConnection:
    """Our own connection, a blocking socket; implements :class:`Connection`.

    Args:
        address: Where the simulator listens.
        timeout_s: Seconds that a call may take.
        most_bytes: Greatest size of a reply.

    Attributes:
        address: Where the simulator listens.
    """

    def __init__(
        self, address: Address, timeout_s: float = 5.0, most_bytes: int = _MOST_BYTES
    ) -> None:
        self.address, self._timeout_s, self._most = address, timeout_s, most_bytes
        self._socket: socket.socket | None = None
        self._packer = msgpack.Packer()
        self._unpacker = self._fresh()
        self._number = 0
        self._quiet: dict[int, str] = {}  # calls whose answer nobody waits for
        self._answers: dict[int, tuple[Any, Any]] = {}
        self._fault: RefusedError | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a socket."""
        return self._socket is not None

    def open(self) -> None:
        """Connects anew; see :class:`Connection`."""
        self.close()
        where = self.address.host, self.address.port
        try:
            found = socket.create_connection(where, self._timeout_s)
        except OSError as error:
            raise LostError(f"no simulator answers at {self.address}: {_said(error)}") from None
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = found

    def ask(self, requests: Sequence[Request], timeout_s: float | None = None) -> list[Any]:
        """Sends all and waits for what is not quiet; see :class:`Connection`."""
        if self._socket is None:
            self.open()
        seconds = self._timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + seconds
        waited = self._send(requests, seconds)
        try:
            self._receive([number for number, _ in waited], deadline)
        except TimeoutError:
            late = next(name for number, name in waited if number not in self._answers)
            self.close()
            raise LostError(
                f"the simulator at {self.address} did not answer '{late}' in {seconds:g} s"
            ) from None
        return self._taken(waited)

    def close(self) -> None:
        """Lets go of the socket; what was under way is forgotten."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._fault, self._unpacker = None, None, self._fresh()
        self._quiet.clear()
        self._answers.clear()

    def _fresh(self) -> msgpack.Unpacker:
        return msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=self._most)

    def _send(self, requests: Sequence[Request], seconds: float) -> list[tuple[int, str]]:
        assert self._socket is not None
        waited, parts = [], []
        for method, params, quiet in requests:
            self._number = number = (self._number + 1) % 2**32
            parts.append(self._packer.pack((_REQUEST, number, method, params)))
            if quiet:
                self._quiet[number] = method
            else:
                waited.append((number, method))
        try:
            self._socket.settimeout(seconds)
            self._socket.sendall(b"".join(parts))
        except OSError as error:
            raise self._lost(_said(error)) from None
        return waited

    def _receive(self, numbers: Sequence[int], deadline: float) -> None:
        """Reads until all answers are there."""
        assert self._socket is not None
        waited, answers = set(numbers), self._answers
        while not answers.keys() >= waited:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(_CHUNK)
            except TimeoutError:
                raise
            except OSError as error:
                raise self._lost(_said(error)) from None
            if not data:
                raise self._lost("it closed the connection")
            self._read(data)

    def _read(self, data: bytes) -> None:
        try:
            self._unpacker.feed(data)
            for message in self._unpacker:
                self._sort(message)
        except msgpack.BufferFull:
            raise self._lost(f"its answer is longer than {self._most} bytes") from None
        except (ValueError, TypeError, WireError, msgpack.UnpackException) as error:
            raise self._lost(f"what it sent is no msgpack-RPC ({_said(error)})") from None

    def _sort(self, message: Any) -> None:
        if not isinstance(message, list) or len(message) != _FIELDS or message[0] != _RESPONSE:
            raise WireError(f"got {message!r}"[:80])
        _, number, fault, result = message
        method = self._quiet.pop(number, None)
        if method is None:
            self._answers[number] = fault, result
        elif fault is not None and self._fault is None:
            self._fault = RefusedError(method, _words(fault))

    def _taken(self, waited: Sequence[tuple[int, str]]) -> list[Any]:
        found, refused = [], self._fault
        for number, method in waited:
            fault, result = self._answers.pop(number)
            if fault is not None and refused is None:
                refused = RefusedError(method, _words(fault))
            found.append(result)
        self._fault = None
        if refused is not None:
            raise refused
        return found

    def _lost(self, why: str) -> LostError:
        self.close()
        return LostError(f"lost the simulator at {self.address}: {why}")


def _said(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) else None
    return (text or str(error) or type(error).__name__)[:160]


def _words(fault: Any) -> str:
    return (fault if isinstance(fault, str) else repr(fault))[:400]
