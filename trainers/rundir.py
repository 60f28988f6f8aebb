"""The directory of one run: everything about it in one place, and one process at a time."""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from qmarl.errors import ConfigurationError, RunError

Model = TypeVar("Model", bound=BaseModel)

State = Literal["running", "finished", "interrupted", "failed"]
"""How a run stands; one that says ``running`` without a lock was killed."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PACKAGES = ("qmarl", "numpy", "torch", "pennylane", "ray", "gymnasium", "pettingzoo")
_PROBE_BYTES = 2**20
_LARGEST = 2**31


@dataclass(frozen=True)
class Status:
    """How a run stands.

    Attributes:
        state: One of :data:`State`.
        round: Rounds that are done.
        time: When this was written, UTC, ISO 8601.
        reason: Why the run finished before its last round; empty otherwise.
    """

    state: State
    round: int
    time: str
    reason: str = ""


class Placed(Protocol):
    """Where an experiment says that its runs live."""

    @property
    def directory(self) -> str:
        """Directory of all runs."""
        ...


class Experiment(Protocol):
    """As much of an experiment's configuration as a run directory looks at."""

    @property
    def name(self) -> str:
        """Name of the runs' directory."""
        ...

    @property
    def seed(self) -> int:
        """Root of every random stream."""
        ...

    @property
    def logging(self) -> Placed:
        """The section that says where runs live."""
        ...

    def model_dump(self, *, mode: Literal["json"]) -> dict[str, Any]:
        """The whole configuration as plain data."""
        ...


@dataclass(frozen=True)
class RunDirectory:
    """``runs/<name>/<time>-<hash>/``: what a run was told, what it did, what came out.

    Attributes:
        path: The directory. Make one with :meth:`create` or :meth:`open`.
    """

    path: Path

    @property
    def metrics(self) -> Path:
        """``metrics.jsonl``: one line for each round."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """``checkpoints/``, as :mod:`qmarl.checkpoint` keeps them."""
        return self.path / "checkpoints"

    @property
    def evaluations(self) -> Path:
        """``eval/``: one JSON file for each evaluation."""
        return self.path / "eval"

    @property
    def media(self) -> Path:
        """``media/``: pictures and animations."""
        return self.path / "media"

    @property
    def model(self) -> Path:
        """``model.json``: what the models are."""
        return self.path / "model.json"

    @property
    def report(self) -> Path:
        """``report.html``: for people."""
        return self.path / "report.html"

    @classmethod
    def create(cls, config: Experiment, source: str, now: datetime | None = None) -> RunDirectory:
        """Makes the directory of a new run and proves that it can be written to.

        Args:
            config: The whole configuration; it says where runs live and what this one is called.
            source: Text of the configuration file as the user wrote it.
            now: When the run began; now if ``None``.

        Raises:
            ConfigurationError: The name cannot be a directory's.
            RunError: The directory is read-only, full, or cannot be made.
        """
        if not _NAME.fullmatch(config.name):
            raise ConfigurationError(
                f"name: must be of letters, digits, dots and dashes, got '{config.name}'"
            )
        home = Path(config.logging.directory) / config.name
        resolved = json.dumps(config.model_dump(mode="json"), indent=1)
        with told(home):
            home.mkdir(parents=True, exist_ok=True)
            run = cls(_fresh(home, _name(resolved, now or datetime.now(UTC))))
            run.probe()
            for directory in (run.checkpoints, run.evaluations, run.media):
                directory.mkdir()
        run.write("config.yaml", source)
        run.write("config.resolved.json", resolved)
        run.write("env.json", json.dumps(environment(config.seed), indent=1))
        run.set_status("running", 0)
        _point_latest(run.path)
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Opens the directory of a run, or the last run of ``runs/<name>``.

        Safe on a directory from a stranger: what leads out of it, or is no plain file, is refused
        before anything is read or written.

        Raises:
            RunError: There is no such directory, or it is not one of ours.
        """
        if not path.is_dir():
            raise RunError(f"there is no run directory '{path}'{_nearest(path)}")
        if not _is_ours(path) and (path / "latest").is_dir():
            path = path / "latest"
        if not _is_ours(path):
            raise RunError(
                f"'{path}' is not a run directory: expected config.resolved.json and status.json"
                " in it, as in runs/<name>/<time>-<hash>"
            )
        path = path.resolve() if path.is_symlink() else path
        refuse_traps(path)
        return cls(path)

    @property
    def resolved_config(self) -> Path:
        """``config.resolved.json``: the whole configuration."""
        return self.path / "config.resolved.json"

    def config(self, model: type[Model]) -> Model:
        """Reads the configuration that the run was made with.

        Raises:
            RunError: It cannot be read, or this program does not understand it.
        """
        text = self._read(self.resolved_config.name)
        try:
            return model.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise RunError(
                f"'{self.resolved_config}' is damaged or from another version:"
                f" {where or 'the file'}: {first['msg']}"
            ) from error

    @property
    def status(self) -> Status:
        """How the run stands.

        Raises:
            RunError: It cannot be read.
        """
        try:
            status = Status(**json.loads(self._read("status.json")))
        except (ValueError, TypeError, RecursionError):
            status = None
        if status is None or status.state not in get_args(State) or type(status.round) is not int:
            raise RunError(f"'{self.path / 'status.json'}' is damaged")
        return status

    def set_status(self, state: State, rounds: int, reason: str = "") -> None:
        """Notes how the run stands after ``rounds`` rounds, and why it ended early if it did.

        Raises:
            RunError: It cannot be written.
        """
        time = datetime.now(UTC).isoformat(timespec="seconds")
        self.write("status.json", json.dumps(asdict(Status(state, rounds, time, reason))))

    def write_model(self, model: Mapping[str, Any]) -> None:
        """Writes ``model.json``.

        Raises:
            RunError: It cannot be written.
        """
        self.write(self.model.name, json.dumps(model, indent=1))

    def write(self, name: str, content: str | bytes) -> Path:
        """Writes a file of the run, whole or not at all, and returns its path.

        Args:
            name: Path within the run's directory; its parent exists.
            content: Text, which is written as UTF-8, or bytes.

        Raises:
            RunError: It cannot be written; what was there before is still there.
        """
        target = self.path / name
        temporary = target.with_name(f".{target.name}.tmp")
        with told(target):
            with temporary.open("wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        return target

    def probe(self) -> None:
        """Proves that there is room and leave to write, before hours of training depend on it.

        Raises:
            RunError: There is not.
        """
        probe = self.path / ".probe.tmp"
        try:
            self.write(probe.name, bytes(_PROBE_BYTES))
        finally:
            with told(probe):
                for left in (probe, probe.with_name(f".{probe.name}.tmp")):
                    left.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the run for this process; the lock ends with the process, however that ends.

        Raises:
            RunError: Another process holds it, or the directory cannot be written to.
        """
        import fcntl

        path = self.path / "run.lock"
        with told(path):
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            with told(path):
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    owner = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
                    raise RunError(f"'{self.path}' is locked by process {owner}") from None
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(handle)

    def _read(self, name: str) -> str:
        with told(self.path / name):
            return (self.path / name).read_bytes().decode(errors="replace")


def environment(seed: int) -> dict[str, Any]:
    """Returns what a run depends on beside its configuration; no names of hosts or users."""
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "git": _git(),
        "platform": {"system": platform.system(), "machine": platform.machine()},
        "seed": seed,
    }


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turns an ``OSError`` into a :class:`~qmarl.errors.RunError` that names path and reason."""
    try:
        yield
    except OSError as error:
        raise RunError(f"'{error.filename or path}': {error.strerror or error}") from error


def _name(resolved: str, now: datetime) -> str:
    return f"{now:%Y%m%d-%H%M%S}-{hashlib.sha256(resolved.encode()).hexdigest()[:6]}"


def _fresh(home: Path, name: str) -> Path:
    for attempt in range(1, 1000):
        path = home / (name if attempt == 1 else f"{name}-{attempt}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise RunError(f"'{home / name}': too many runs of one second")


def _point_latest(path: Path) -> None:
    temporary = path.with_name(f".latest-{path.name}")
    with told(path.with_name("latest")):
        temporary.symlink_to(path.name, target_is_directory=True)
        temporary.replace(path.with_name("latest"))


def _is_ours(path: Path) -> bool:
    return all((path / name).is_file() for name in ("config.resolved.json", "status.json"))


def refuse_traps(directory: Path) -> None:
    """Refuses links, devices and giants: we would write through them, or wait for them forever.

    Raises:
        RunError: There is one anywhere in ``directory``.
    """
    with told(directory), suppress(FileNotFoundError):  # a run at work forgets old checkpoints
        with os.scandir(directory) as found:
            entries = list(found)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                refuse_traps(Path(entry.path))
            elif not entry.is_file(follow_symlinks=False):
                raise RunError(f"'{entry.path}' is a link or a device; no run has one, so beware")
            elif (size := entry.stat(follow_symlinks=False).st_size) > _LARGEST:
                raise RunError(f"'{entry.path}' has {size} bytes; no file of a run is so large")


def _nearest(path: Path) -> str:
    siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, siblings, n=1)
    return f"; did you mean '{path.parent / near[0]}'?" if near else ""


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    commit = _git_says("rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "changed": bool(_git_says("status", "--porcelain"))}


def _git_says(*words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
