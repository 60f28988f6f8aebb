"""The installed packages ``airsim`` and ``cosysairsim`` as a connection, hazards and all."""

from __future__ import annotations

import asyncio
import importlib
import math
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, final

from envs.airsim_wire.connection import LostError, RefusedError, Request
from qmarl.errors import ConfigurationError

if TYPE_CHECKING:
    from envs.airsim_wire.address import Address

_HOW = {
    "cosysairsim": "pip install 'qmarl[airsim]'",
    "airsim": "see docs/airsim.md for the two lines that install it",
}


@final
class PackageConnection:
    """A package's own transport; implements :class:`envs.airsim_wire.connection.Connection`.

    Time limits are whole seconds and the same for all calls. A call whose answer is not waited for
    leaves this process with the next one that is: so one must always follow.

    Args:
        package: Which package.
        address: Where the simulator listens.
        timeout_s: Seconds that a call may take, rounded up.

    Attributes:
        address: Where the simulator listens.

    Raises:
        ConfigurationError: The package cannot be imported.
    """

    def __init__(
        self, package: Literal["airsim", "cosysairsim"], address: Address, timeout_s: float
    ) -> None:
        self.address, self._timeout_s = address, max(1, math.ceil(timeout_s))
        try:
            self._package = importlib.import_module(f"{package}.client")
            self._errors = importlib.import_module("msgpackrpc.error")
        except ImportError as error:
            raise ConfigurationError(
                f"env.airsim.client: '{package}' cannot be imported ({error}): {_HOW[package]}, "
                "or use 'wire', which needs no package"
            ) from None
        self._session: Any = None
        self._quiet: list[tuple[str, Any]] = []

    @property
    def connected(self) -> bool:
        """Whether there is a client."""
        return self._session is not None

    def open(self) -> None:
        """Makes a new client, which connects at its first call."""
        self.close()
        if threading.current_thread() is not threading.main_thread():
            asyncio.set_event_loop(asyncio.new_event_loop())  # the package looks for one
        host, port = self.address.host, self.address.port
        client = self._package.VehicleClient(host, port, timeout_value=self._timeout_s)
        self._session = client.client
        self.ask([Request("ping")])

    def ask(self, requests: Sequence[Request], timeout_s: float | None = None) -> list[Any]:  # noqa: ARG002 - its limit is fixed
        """Sends all, then waits for what is not quiet, one after another."""
        if self._session is None:
            self.open()
        errors = self._errors
        try:
            sent = [
                (each, self._session.call_async(each.method, *each.params)) for each in requests
            ]
            found = [_answer(each, future, errors) for each, future in sent if not each.quiet]
        except (errors.TransportError, errors.TimeoutError, OSError) as error:
            self.close()
            raise LostError(f"lost the simulator at {self.address}: {_text(error)}") from None
        self._check([(each.method, future) for each, future in sent if each.quiet])
        return found

    def close(self) -> None:
        """Closes the package's client."""
        if self._session is not None:
            self._session.close()
        self._session = None
        self._quiet.clear()

    def _check(self, moves: list[tuple[str, Any]]) -> None:
        """Looks whether calls that nobody waited for were refused."""
        former, self._quiet = self._quiet + moves, []
        for method, future in former:
            if future.error is not None:
                raise RefusedError(method, _text(future.error))
            self._quiet += [(method, future)] if future.result is None else []


def _answer(request: Request, future: Any, errors: Any) -> Any:
    try:
        return future.get()
    except (errors.TransportError, errors.TimeoutError):
        raise
    except errors.RPCError as error:
        inner = error.args[0] if error.args else error
        if isinstance(inner, (errors.TransportError, errors.TimeoutError)):
            raise inner from None
        raise RefusedError(request.method, _text(inner)) from None


def _text(error: Any) -> str:
    text = error.decode("utf-8", "replace") if isinstance(error, bytes) else str(error)
    return text[:400]
