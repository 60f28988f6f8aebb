"""The way to a Ray cluster: a short knock at the door, then in, or one sentence about why not."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qmarl.errors import ConfigurationError, QmarlError, UnreachableError
from trainers.distributed import ExecutorConfig

PREFLIGHT_S = 2.5
_TOKENS = (
    "the cluster asks for a token: set RAY_AUTH_MODE=token and the head's RAY_AUTH_TOKEN (or "
    "RAY_AUTH_TOKEN_PATH) here"
)
_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def connect(config: ExecutorConfig) -> tuple[Any, bool]:
    """Starts a local cluster, or joins the one that is named, after a short knock at its door.

    Args:
        config: Address, and how many workers of what size are to come.

    Returns:
        The module ``ray``, and whether the connection is ours to close.

    Raises:
        UnreachableError: The cluster does not answer, or refuses us.
        ConfigurationError: ``working_dir`` is neither a directory nor a wheel.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # workers use this environment
    # A unit of work, compiled circuit and all, rides on the call: half the time of a shared object.
    os.environ.setdefault("RAY_max_direct_call_object_size", str(2**20))
    address = _address(config)
    greet(config)
    import ray

    if ray.is_initialized():  # the process that calls us keeps a cluster of its own
        return ray, False
    try:
        with _code(config.working_dir) as code:  # Ray has taken it with it when it is there
            ray.init(
                address=address,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": _THREADS, **code},
                **(_own(config) if address == "local" else {}),
            )
    except (ConnectionError, RuntimeError) as error:
        raise UnreachableError(_refused(address, error)) from error
    return ray, True


def greet(config: ExecutorConfig) -> None:
    """Makes sure within seconds that a cluster is there and lets us in; a local one always is.

    Args:
        config: The executor's section.

    Raises:
        UnreachableError: It is not, or does not.
    """
    if (address := _address(config)) == "local":
        return
    knock(address)
    import ray

    if not ray.is_initialized():
        _ask(ray, address)


def knock(address: str) -> None:
    """Checks within seconds that something listens at a cluster's address.

    Args:
        address: ``host:port``, or ``ray://host:port``; ``auto`` is left to Ray.

    Raises:
        UnreachableError: Nothing does, or the address is not of that form.
    """
    if address == "auto":
        return
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator or not port.isdigit():
        raise UnreachableError(f"the Ray address '{address}' is not host:port")
    try:
        socket.create_connection((host.strip("[]"), int(port)), PREFLIGHT_S).close()
    except OSError as error:
        raise UnreachableError(
            f"no Ray cluster answers at {address} ({error}); start one with `ray start --head`, "
            "or leave out the address to run on this machine"
        ) from error


def _address(config: ExecutorConfig) -> str:
    return config.address or os.environ.get("RAY_ADDRESS") or "local"


def _ask(ray: Any, address: str) -> None:
    """Asks the head for its name; Ray itself tries for minutes, and does not say what is wrong."""
    if address == "auto" or address.startswith("ray://"):
        return
    answers: list[Exception | None] = []

    def ask() -> None:
        try:
            ray._raylet.GcsClient(address=address)
        except Exception as error:
            answers.append(error)
        else:
            answers.append(None)

    asking = threading.Thread(target=ask, daemon=True)  # may hang in Ray for longer than we wait
    asking.start()
    asking.join(PREFLIGHT_S)
    if not answers:
        raise UnreachableError(
            f"something listens at {address}, but it does not answer as the head of a Ray cluster "
            "does; give the head's own port (6379, if it was not chosen)"
        )
    if answers[0] is not None:
        raise UnreachableError(_refused(address, answers[0])) from answers[0]


def _refused(address: str, error: Exception) -> str:
    text = str(error)
    if "token" in text.lower() or "auth" in text.lower():
        mode = os.environ.get("RAY_AUTH_MODE", "not set")
        return f"the Ray cluster at {address} refused us: {_TOKENS} (RAY_AUTH_MODE is {mode})"
    first = " ".join(text.split())[:300]
    return f"the Ray cluster at {address} did not let us in ({first}); {_TOKENS}, if it does"


def _own(config: ExecutorConfig) -> dict[str, Any]:
    """Size of a cluster of our own: room for exactly the workers."""
    cores = os.cpu_count() or 1
    workers = config.workers
    count = max(int(cores // (config.num_cpus or 1)), 1) if workers == "auto" else workers
    options: dict[str, Any] = {"object_store_memory": 200 * 2**20}
    options["num_cpus"] = max(int(-(-count * config.num_cpus // 1)), 1)
    if config.resources:
        options["resources"] = {name: each * count for name, each in config.resources.items()}
    return options


@contextmanager
def _code(path: str | None) -> Iterator[dict[str, str]]:
    """What Ray is told of code to send; a wheel is unpacked, so that no node needs an installer."""
    if path is None or Path(path).is_dir():
        yield {} if path is None else {"working_dir": path}
        return
    with tempfile.TemporaryDirectory(prefix="qmarl-wheel-") as target:
        try:
            with zipfile.ZipFile(path) as wheel:
                wheel.extractall(target)
        except (OSError, zipfile.BadZipFile) as error:
            raise ConfigurationError(
                f"executor.working_dir: '{path}' is neither a directory nor a wheel ({error})"
            ) from error
        yield {"working_dir": target}


def first_line(error: Exception) -> str:
    """The first line of what an error says."""
    return str(error).partition("\n")[0]


def last_line(error: Exception) -> str:
    """The last line of what an error says; where it shows a traceback, what was raised."""
    return str(error).strip().rpartition("\n")[2]


def cause_of(error: Any) -> Exception:
    """What a unit of work raised in its worker: our own sentence, or Ray's whole story."""
    cause = error.cause
    return cause if isinstance(cause, QmarlError) else error
