"""What ``qmarl doctor`` looks at: everything on a machine that makes runs slow or stops them."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from qmarl import __version__
from qmarl.errors import QmarlError

State = Literal["ok", "note", "bad"]

PACKAGES = ("numpy", "torch", "pennylane", "gymnasium", "pettingzoo", "ray", "pydantic")
"""Packages whose versions decide whether two machines give the same numbers."""
EXTRAS = {"mpe2": "more worlds: pip install mpe2", "cosysairsim": "AirSim: install qmarl[airsim]"}
"""Optional modules, and what they are good for."""

_GIB = 2**30
_DISK_GIB = 1.0
_SHM_GIB = 0.25


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes:
        name: What it is.
        state: ``ok``, ``note`` (works, but know it) or ``bad`` (will fail).
        detail: What was found, and how to mend it.
    """

    name: str
    state: State
    detail: str

    def __str__(self) -> str:
        """Returns the line that people see."""
        return f"{self.state:<4}  {self.name:<12}  {self.detail}"


def examine() -> Iterator[Finding]:
    """Looks at this machine; takes seconds, because PyTorch and Ray are really imported."""
    yield Finding("python", "ok", f"{platform.python_version()} at {sys.executable}")
    yield Finding("qmarl", "ok", __version__)
    yield from (version(name) for name in PACKAGES)
    yield processor()
    yield device()
    yield disk(Path.cwd())
    yield shared_memory(Path("/dev/shm"))
    yield ray()
    yield cluster(os.environ.get("RAY_ADDRESS"))
    yield from (extra(name, purpose) for name, purpose in EXTRAS.items())


def verdict(findings: Sequence[Finding]) -> int:
    """Returns the exit code: 3 when something is bad, 0 otherwise."""
    return 3 if any(finding.state == "bad" for finding in findings) else 0


def version(package: str) -> Finding:
    """Looks up a package's version without importing it."""
    try:
        return Finding(package, "ok", metadata.version(package))
    except metadata.PackageNotFoundError:
        return Finding(package, "bad", "not installed; run `make setup`")


def processor() -> Finding:
    """Counts the cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    return Finding("processor", "ok", f"{cores} cores; OMP_NUM_THREADS {threads}")


def device() -> Finding:
    """Imports PyTorch and says where it computes."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return Finding("device", "bad", f"PyTorch cannot be imported: {error}")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU in use"
    return Finding("device", "ok", f"torch {torch.__version__}, {gpu}")


def disk(folder: Path) -> Finding:
    """Checks that runs can be written here."""
    free = shutil.disk_usage(folder).free / _GIB
    if not os.access(folder, os.W_OK):
        return Finding("disk", "bad", f"{folder} cannot be written; runs/ is made here")
    if free < _DISK_GIB:
        return Finding("disk", "bad", f"{free:.2f} GiB free; a long run needs {_DISK_GIB:.0f} GiB")
    return Finding("disk", "ok", f"{free:.0f} GiB free")


def shared_memory(folder: Path) -> Finding:
    """Checks Ray's shared memory, which containers often keep tiny."""
    if not folder.is_dir():
        return Finding("shared mem", "note", f"no {folder}; Ray works through files here")
    free = shutil.disk_usage(folder).free / _GIB
    if free < _SHM_GIB:
        return Finding("shared mem", "note", f"{free:.2f} GiB free in {folder}; Ray is slow so")
    return Finding("shared mem", "ok", f"{free:.1f} GiB free in {folder}")


def ray() -> Finding:
    """Imports Ray, in a process of its own: a broken binary ends that one alone."""
    command = [sys.executable, "-c", "import ray"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode:
        last = (tried.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        return Finding("ray import", "bad", f"Ray cannot be imported: {last}")
    return Finding("ray import", "ok", "executor=ray works on this machine")


def cluster(address: str | None) -> Finding:
    """Knocks at the cluster that the environment names, seconds at most."""
    if not address:
        return Finding("ray cluster", "ok", "RAY_ADDRESS is not set; Ray stays on this machine")
    from trainers.distributed_connection import knock

    mode = os.environ.get("RAY_AUTH_MODE", "not set")
    try:
        knock(address)
    except QmarlError as error:
        return Finding("ray cluster", "bad", f"{error}; RAY_AUTH_MODE is {mode}")
    advice = "`qmarl cluster check` says whether it lets us in and what its nodes have"
    return Finding("ray cluster", "ok", f"{address} answers; RAY_AUTH_MODE is {mode} ({advice})")


def extra(module: str, purpose: str) -> Finding:
    """Says whether an optional module is there."""
    found = find_spec(module) is not None
    return Finding(module, "ok" if found else "note", "installed" if found else f"for {purpose}")
