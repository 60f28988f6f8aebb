"""msgpack-RPC over TCP: one thread, one selector, and answers in the order of the calls.

Whoever sends what is no call loses the connection, and no one else does. Nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any, Final, final

import msgpack  # type: ignore[import-untyped] # it has no stubs

from envs.airsim_server.call_table import Deferred
from envs.airsim_server.calls import counts, perform
from envs.airsim_server.errors import thrown
from envs.airsim_server.flyers import SECOND
from envs.airsim_server.simulator import TICK
from qmarl.errors import UnreachableError

if TYPE_CHECKING:
    from envs.airsim_server.simulator import Simulator

MOST_BYTES: Final = 8 << 20
"""Bytes of a message beyond this close the connection."""
MOST_WAITING: Final = 4 << 20
"""While more bytes of answers than this wait to be fetched, a connection's calls wait, too."""
MOST_CONNECTIONS: Final = 64
"""Connections beyond this are closed at once."""

_CHUNK: Final = 1 << 18
_TURN: Final = 0.05  # s of a connection's calls before others are listened to
_WAKE_SECONDS: Final = 0.01
_MOST_LAG: Final = 0.25  # s of real time that are made up for at once
_REQUEST, _RESPONSE, _NOTIFY = 0, 1, 2


class _Malformed(Exception):  # noqa: N818  # not told to anyone
    """What arrived is no call."""


@final
class Connection:
    """One client.

    Args:
        own: Its socket.
        server: What does its calls.
    """

    def __init__(self, own: socket.socket, server: Server) -> None:
        self.socket, self._server = own, server
        self._unpacker = msgpack.Unpacker(
            raw=False, strict_map_key=False, max_buffer_size=MOST_BYTES, unicode_errors="replace"
        )
        self._packer = msgpack.Packer()
        self._out = bytearray()
        self._held, self._more = False, False
        self.closed = False

    @property
    def events(self) -> int:
        """What it waits for: room for answers, and, unless calls are left, more calls."""
        reads = 0 if self._more else selectors.EVENT_READ
        return reads | (selectors.EVENT_WRITE if self._out else 0)

    def receive(self) -> None:
        """Takes what has arrived, and does the calls in it."""
        try:
            data = self.socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        try:
            self._unpacker.feed(data)
        except msgpack.BufferFull:
            self.close()
            return
        self.proceed()

    def proceed(self) -> None:
        """Does some of the calls that are there, up to one that the others wait for."""
        self._more, until = True, time.perf_counter() + _TURN
        try:
            while time.perf_counter() < until:
                if self._held or self.closed or len(self._out) > MOST_WAITING:
                    break
                self._do(next(self._unpacker))
        except StopIteration:
            self._more = False
        except (_Malformed, ValueError, TypeError, RecursionError, msgpack.UnpackException):
            self.close()
        self.send()

    def send(self) -> None:
        """Sends what can be sent."""
        if self.closed:
            return
        try:
            if self._out:
                sent = self.socket.send(self._out)
                del self._out[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if self._more and not self._held and len(self._out) <= MOST_WAITING:
            self._server.free(self)
        self._server.watch(self)

    def close(self) -> None:
        """Lets go of the client."""
        if not self.closed:
            self.closed = True
            self._server.forget(self)
            self.socket.close()

    def _do(self, message: Any) -> None:
        number, name, given = _parsed(message)
        error, result = self._server.call(name, given)
        if isinstance(result, Deferred):
            self._held = result.holds and not result.ready
            result.tell(lambda found: self._later(number, found, result.holds))
        elif number is not None:
            self._answer(number, error, result)

    def _later(self, number: int | None, result: object, held: bool) -> None:
        """Answers a call whose result has come."""
        if number is not None and not self.closed:
            self._answer(number, None, result)
        if held and self._held:
            self._held = False
            self._server.free(self)

    def _answer(self, number: int, error: str | None, result: object) -> None:
        self._out += self._packer.pack((_RESPONSE, number, error, result))
        self._server.owes(self)


def _parsed(message: Any) -> tuple[int | None, str, list[object]]:
    """Number, name and arguments of a call; no number for one that wants no answer."""
    if not isinstance(message, list) or not message:
        raise _Malformed
    if message[0] == _REQUEST and len(message) == 4:
        _, number, name, given = message
    elif message[0] == _NOTIFY and len(message) == 3:
        (_, name, given), number = message, None
    else:
        raise _Malformed
    name = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
    fits = isinstance(name, str) and isinstance(given, list)
    if not fits or not (number is None or type(number) is int):
        raise _Malformed
    return number, name, given


@final
class Server:
    """Serves a simulator, and lets its time pass.

    Args:
        simulator: What is served.
        host: Address to listen at.
        port: Port to listen at; 0 for a free one.

    Attributes:
        address: Where it listens.

    Raises:
        UnreachableError: It cannot listen there.
    """

    def __init__(self, simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> None:
        self.simulator = simulator
        self._table = counts(simulator.version)
        self._listener = _listen(host, port)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._bell, self._ear = socket.socketpair()
        self._selector.register(self._ear, selectors.EVENT_READ)
        self._connections: dict[socket.socket, Connection] = {}
        self._owing: set[Connection] = set()
        self._freed: dict[Connection, None] = {}
        self._clock = _Clock(simulator)
        self._on = True

    def run(self) -> None:
        """Serves until :meth:`stop` is called."""
        try:
            while self._on:
                self._turn()
        finally:
            self._close()

    def stop(self) -> None:
        """Ends :meth:`run`; may be called from any thread and from a signal."""
        self._on = False
        with contextlib.suppress(OSError):
            self._bell.send(b"x")

    def call(self, name: str, given: list[object]) -> tuple[str | None, object]:
        """Does a call; a defect of ours is told like an exception of AirSim's."""
        self._clock.catch_up()
        try:
            return perform(self._table, self.simulator, name, given)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            return thrown(name, len(given), f"{type(error).__name__}: {error}"), None

    def owes(self, connection: Connection) -> None:
        """Takes note that a connection has something to send."""
        self._owing.add(connection)

    def free(self, connection: Connection) -> None:
        """Takes note that a connection may go on with its calls."""
        self._freed[connection] = None

    def watch(self, connection: Connection) -> None:
        """Listens to a connection, and waits for room where it has to."""
        if connection.closed:
            return
        events = connection.events or selectors.EVENT_READ
        if self._selector.get_key(connection.socket).events != events:
            self._selector.modify(connection.socket, events)

    def forget(self, connection: Connection) -> None:
        """Takes note that a connection is closed."""
        if self._connections.pop(connection.socket, None) is not None:
            self._selector.unregister(connection.socket)
        self._owing.discard(connection)

    def _turn(self) -> None:
        """Listens once, and lets time pass."""
        for key, events in self._selector.select(self._patience()):
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj is self._ear:
                self._ear.recv(64)
            else:
                self._serve(key.fileobj, events)
        self.simulator.work()
        self._clock.catch_up()
        self._settle()

    def _serve(self, fileobj: Any, events: int) -> None:
        connection = self._connections.get(fileobj)
        if connection is not None and events & selectors.EVENT_WRITE:
            connection.send()
        if connection is not None and events & selectors.EVENT_READ and not connection.closed:
            connection.receive()

    def _settle(self) -> None:
        """Goes on with calls that have been held back, and sends answers."""
        freed, self._freed = self._freed, {}
        for connection in freed:
            connection.proceed()
        while self._owing:
            self._owing.pop().send()

    def _patience(self) -> float | None:
        """Seconds to listen for; for ever while time stands still."""
        if self.simulator.running or self._freed:
            return 0.0
        return None if self.simulator.paused else _WAKE_SECONDS

    def _accept(self) -> None:
        try:
            own, _ = self._listener.accept()
        except OSError:
            return
        if len(self._connections) >= MOST_CONNECTIONS:
            own.close()
            return
        own.setblocking(False)
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[own] = Connection(own, self)
        self._selector.register(own, selectors.EVENT_READ)

    def _close(self) -> None:
        for connection in list(self._connections.values()):
            connection.close()
        self._selector.close()
        for each in (self._listener, self._bell, self._ear):
            each.close()


@final
class _Clock:
    """Lets simulated time pass with real time while it is not paused.

    Args:
        simulator: Whose time it is.
    """

    def __init__(self, simulator: Simulator) -> None:
        self._simulator, self._last = simulator, time.perf_counter()

    def catch_up(self) -> None:
        """Lets as many ticks pass as are due; where the machine is too slow, fewer."""
        simulator = self._simulator
        if simulator.paused or simulator.running:
            self._last = time.perf_counter()
            return
        now, speed = time.perf_counter(), simulator.settings.clock_speed
        due = int(min(now - self._last, _MOST_LAG) * speed * SECOND) // TICK * TICK
        if due:
            self._last = max(self._last + due / SECOND / speed, now - _MOST_LAG)
            simulator.advance(due)


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.create_server((host, port), backlog=16)
    except OSError as error:
        raise UnreachableError(
            f"port {port} of {host} cannot be listened at: {_why(error)}; choose another one by "
            "--port, or by ApiServerPort in the settings"
        ) from None
    found.setblocking(False)
    return found


def _why(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else str(error)
