"""What goes wrong in a call, in AirSim's and rpclib's own words."""

from __future__ import annotations


class CallError(Exception):
    """A call that cannot be done; its text goes to the caller."""


def no_function(name: str, count: int) -> str:
    """What rpclib answers when there is no function of a name."""
    return f"rpclib: server could not find function '{name}' with argument count {count}."


def wrong_count(name: str, wanted: int, count: int) -> str:
    """What rpclib answers when a function is called with another number of arguments."""
    return (
        f"rpclib: client error C0002: Function '{name}' was called with an invalid number of "
        f"arguments. Expected: {wanted}, got: {count}"
    )


def thrown(name: str, count: int, text: str) -> str:
    """What rpclib answers when a function threw an exception."""
    return (
        f"rpclib: function '{name}' (called with {count} arg(s)) threw an exception. The exception "
        f"contained this information: {text}."
    )


def no_vehicle(name: str) -> CallError:
    """There is no vehicle of this name to command."""
    return CallError(
        f"Vehicle API for '{name}' is not available. This could either because this is "
        "simulation-only API or this vehicle does not exist"
    )


def no_simulated_vehicle(name: str) -> CallError:
    """There is no vehicle of this name in the simulation."""
    return CallError(
        f"Vehicle Sim-API for '{name}' is not available. This could either because this is not a "
        "simulation or this vehicle does not exist"
    )
