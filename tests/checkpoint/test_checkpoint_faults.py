from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qmarl.checkpoint import load, save
from qmarl.errors import RunError

CALLS = [
    (os, "mkdir"),
    (os, "replace"),
    (os, "fsync"),
    (os, "unlink"),
    (os, "rmdir"),
    (os, "open"),
    (os, "listdir"),
    (os, "scandir"),
    (io, "open"),
]


class CrashError(BaseException):
    """The machine stops here: nothing that follows happens, clean-up neither."""


class TornFile:
    """A file whose writes are filesystem calls too, and half done when they fail."""

    def __init__(self, file: Any, step: Callable[..., Any]) -> None:
        self._file, self._step = file, step

    def __enter__(self) -> TornFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        half = len(data) // 2
        self._file.write(data[:half])
        self._file.flush()
        self._step("write", lambda: self._file.write(data[half:]))

    def flush(self) -> None:
        self._file.flush()

    def fileno(self) -> int:
        return int(self._file.fileno())

    def read(self) -> bytes:
        return bytes(self._file.read())


class Saboteur:
    """Counts filesystem calls and lets the chosen one go wrong."""

    def __init__(self, at: int, fault: BaseException, after: bool) -> None:
        self.at, self.fault, self.after = at, fault, after
        self.log: list[str] = []

    def step(self, name: str, call: Callable[[], Any]) -> Any:
        self.log.append(name)
        here = len(self.log) - 1
        stopped = isinstance(self.fault, CrashError) and here > self.at
        if stopped or (here == self.at and not self.after):
            raise self.fault
        result = call()
        if here == self.at:
            if name == "open" and isinstance(result, int):
                os.close(result)
            elif name in ("open", "scandir"):
                result.close()
            raise self.fault
        return result

    @contextmanager
    def at_work(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for module, name in CALLS:
                patch.setattr(module, name, self._wrapped(name, getattr(module, name)))
            yield

    def told(self, root: Path, step: int) -> str:
        """Saves with the fault on the way and returns what the user was told."""
        with self.at_work():
            try:
                saved(root, step)
            except RunError as error:
                return str(error)
        return ""

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            result = self.step(name, lambda: real(*args, **options))
            return TornFile(result, self.step) if real is REAL_OPEN else result

        return call


REAL_OPEN = io.open


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # that it is called is what counts here


def saved(root: Path, step: int, keep: int = 2) -> None:
    arrays = {"params": {"x": np.full(3, float(step))}, "rng": {"y": np.arange(step)}}
    save(root, step, arrays, {"round": step}, keep=keep, best=step == 1)


def check(root: Path, allowed: set[int]) -> None:
    """The last whole checkpoint is there, whole, and so is the best."""
    got = load(root)
    assert got.step in allowed
    assert got.meta == {"round": got.step}
    np.testing.assert_array_equal(got.arrays["params"]["x"], np.full(3, float(got.step)))
    np.testing.assert_array_equal(got.arrays["rng"]["y"], np.arange(got.step))
    assert load(root, "best").step == 1


def prepared(root: Path) -> Path:
    for step in (1, 2, 3):
        saved(root, step)
    return root


@pytest.mark.parametrize("step", [3, 4])
@pytest.mark.parametrize("after", [False, True])
def test_a_crash_between_any_two_calls_loses_no_whole_checkpoint(
    tmp_path: Path, step: int, after: bool
) -> None:
    at, done = 0, False
    while not done:
        root = prepared(tmp_path / str(at))
        saboteur = Saboteur(at, CrashError(), after)
        with saboteur.at_work():
            try:
                saved(root, step)
                done = True
            except CrashError:
                pass
        check(root, {3, step})
        saved(root, 5)
        check(root, {5})
        saved(root, 6)
        assert not [path for path in root.iterdir() if path.suffix in (".tmp", ".old")]
        at += 1
    assert at > 20


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_every_failing_call_is_told_and_leaves_the_earlier_ones(tmp_path: Path, code: int) -> None:
    at, done = 0, False
    while not done:
        root = prepared(tmp_path / str(at))
        saboteur = Saboteur(at, OSError(code, os.strerror(code)), after=False)
        told = saboteur.told(root, 4)
        done = len(saboteur.log) <= at
        check(root, {3, 4} if told else {4})
        assert not told or (os.strerror(code) in told and str(root) in told)
        saved(root, 5)
        check(root, {5})
        at += 1
    assert at > 20


def test_everything_is_on_the_disk_before_it_is_renamed(tmp_path: Path) -> None:
    root = prepared(tmp_path)
    watcher = Saboteur(10**9, CrashError(), after=False)
    with watcher.at_work():
        saved(root, 4, keep=9)
    log = watcher.log
    renamed = log.index("replace")
    assert log[:renamed].count("write") == 3
    assert log[:renamed].count("fsync") == 4  # three files and their directory
    assert all(log[i + 1] == "fsync" for i, name in enumerate(log) if name == "write")
    assert "fsync" in log[renamed:]  # the parent


def test_a_crash_while_a_step_is_replaced_leaves_one_of_the_two(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    (tmp_path / "step-00000001").rename(tmp_path / "step-00000001.old")
    assert load(tmp_path).step == 1
    saved(tmp_path, 2)
    check(tmp_path, {2})


def test_a_best_one_that_cannot_be_read_right_now_is_not_deleted(tmp_path: Path) -> None:
    root = prepared(tmp_path)
    (root / "step-00000001" / "manifest.json").rename(root / "aside")
    saved(root, 4)
    (root / "aside").rename(root / "step-00000001" / "manifest.json")
    check(root, {4})


def test_unreadable_checkpoints_are_passed_over_with_the_reason(tmp_path: Path) -> None:
    root = prepared(tmp_path)
    saboteur = Saboteur(1, OSError(errno.EIO, os.strerror(errno.EIO)), after=False)
    with saboteur.at_work():
        got = load(root)
    assert got.step == 2
    assert os.strerror(errno.EIO) in got.skipped[0]
