"""Which runs are shown in a browser: found in directories, and named without saying where."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import final

from qmarl.errors import ConfigurationError
from trainers.live import Look, Watcher

MOST_RUNS = 60
"""Runs that are shown at most, the newest ones."""
DEEP = 4
"""Levels below a directory down to which runs are found: those of a sweep lie so deep."""
MOST_DIRECTORIES = 5000
MOST_KEPT = 192 * 2**20
"""Logs [bytes] that are kept in memory; the rest is read again when it is asked for."""


@final
class Shelf:
    """The runs that are shown.

    Args:
        paths: Run directories, or directories with runs in them.

    Raises:
        ConfigurationError: A path is no directory, or no run is found.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = [path.resolve() for path in paths]
        self._places: dict[str, Path] = {}
        self._watchers: dict[str, Watcher] = {}
        self._lock = threading.Lock()
        for path in paths:
            if not path.is_dir():
                raise ConfigurationError(f"serve: there is no directory '{path}'")
        if not self.names():
            raise ConfigurationError(
                f"serve: there is no run in {', '.join(map(str, paths))}; name run directories, "
                "or a directory of runs such as 'runs'"
            )

    def names(self) -> list[str]:
        """Names of the runs, the newest first; runs that began meanwhile are among them."""
        found = {run for path in self._paths for run in _runs(path)}
        newest = sorted(found, key=lambda run: (run.name, str(run)), reverse=True)[:MOST_RUNS]
        self._places = {_name(run): run for run in newest}
        return list(self._places)

    def look(self, name: str) -> Look:
        """Looks at a run.

        Raises:
            KeyError: No run of that name is shown.
            RunError: It cannot be shown.
        """
        place = self._places[name]
        with self._lock:  # one at a time, so that many browsers need no more memory than one
            watcher = self._watchers.pop(name, None) or Watcher(place)
            look = watcher.look()
            self._watchers[name] = watcher
            self._forget(name)
            return look

    def _forget(self, latest: str) -> None:
        """Lets go of what was looked at longest ago, until the rest has room."""
        sizes = {name: watcher.size for name, watcher in self._watchers.items()}
        for name in [*sizes]:
            if sum(sizes.values()) > MOST_KEPT and name != latest:
                del self._watchers[name], sizes[name]


def _name(run: Path) -> str:
    return hashlib.sha256(str(run).encode(errors="surrogateescape")).hexdigest()[:16]


def _runs(path: Path) -> Iterator[Path]:
    looks_like_one = ("config.resolved.json", "status.json")
    for directory in islice(_directories(path, DEEP), MOST_DIRECTORIES):
        if all((directory / name).exists() for name in looks_like_one):
            yield directory


def _directories(path: Path, levels: int) -> Iterator[Path]:
    """A directory and those below it; none inside a run, and no links."""
    yield path
    if levels and not (path / "config.resolved.json").exists():
        try:
            inner = sorted(each for each in path.iterdir() if not each.is_symlink())
        except OSError:  # nothing to be seen there
            return
        for each in inner:
            if each.is_dir():
                yield from _directories(each, levels - 1)
