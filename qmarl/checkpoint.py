"""Checkpoints that are either whole or not there: checksummed, atomic, and never pickled.

A checkpoint is a directory ``step-00000012`` with one safetensors file for each mapping of arrays
and a ``manifest.json`` (format, step, SHA-256 and size of every file, plain data, and the SHA-256
of itself). It is written beside its place, flushed to the disk, and renamed into it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from qmarl.errors import RunError
from qmarl.types import Array, Params

FORMAT = 1
"""Version of the format; a checkpoint of another version is refused by name."""

_MANIFEST = "manifest.json"
_LARGEST_MANIFEST = 2**26
_STEP = re.compile(r"step-(\d{8,})(\.old)?")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        step: The step that it was saved at.
        arrays: Named arrays by the name of their mapping; fresh and writable.
        meta: Plain data, as saved.
        skipped: What was passed over because it was damaged: ``directory/file: reason``.
    """

    step: int
    arrays: dict[str, Params]
    meta: dict[str, Any]
    skipped: tuple[str, ...]


class _DamagedError(Exception):
    """A checkpoint that must not be used, and why."""


class _UnreadableError(_DamagedError):
    """The disk does not give it, now; it may be whole."""


@dataclass(frozen=True)
class _Manifest:
    step: int
    best: bool
    files: dict[str, dict[str, Any]]
    meta: dict[str, Any]


def save(
    root: Path,
    step: int,
    arrays: Mapping[str, Mapping[str, Array]],
    meta: Mapping[str, Any],
    keep: int = 3,
    best: bool = False,
) -> Path:
    """Saves a checkpoint, then forgets all but the last ``keep`` and the best one.

    Later steps go too: who saves step 12 has left the course on which there was a step 20. One
    writer at a time; a run's lock sees to that.

    Args:
        root: Directory of the checkpoints; made if missing.
        step: Step number, from 0; an existing checkpoint of that step is replaced.
        arrays: Named arrays by mapping, for example ``{"params": ..., "moments": ...}``.
        meta: What JSON can say exactly: finite numbers, text, lists, and maps with text keys.
        keep: How many of the last checkpoints stay, 1 or more.
        best: Whether this is the best one so far.

    Returns:
        The checkpoint's directory.

    Raises:
        RunError: The disk is full, not writable, or fails; earlier checkpoints are untouched. Or
            something given is neither array nor JSON.
    """
    place, temporary = root / _name(step), root / f"{_name(step)}.tmp"
    files = {f"{name}.safetensors": _packed(name, named) for name, named in arrays.items()}
    manifest = _manifest_text(step, best, files, meta)
    with _reported(root):
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        try:
            _write_all(temporary, {**files, _MANIFEST: manifest})
            _put(temporary, place)
        except OSError:
            with suppress(OSError):  # the first error is the one to tell
                shutil.rmtree(temporary)
            raise
        _prune(root, step, keep)
    return place


def load(root: Path, step: int | Literal["latest", "best"] = "latest") -> Checkpoint:
    """Loads a checkpoint, passing over damaged ones; safe on a directory from a stranger.

    Args:
        root: Directory of the checkpoints.
        step: A step number, which must itself be whole; ``"latest"``, the last whole one; or
            ``"best"``, the last whole one of those saved as the best, or else the latest.

    Raises:
        RunError: There is no such checkpoint, or none that is whole; the text says what is wrong.
    """
    with _reported(root):
        found = _found(root)
    if isinstance(step, int):
        found = [(number, path) for number, path in found if number == step]
    skipped: list[str] = []
    manifests = list(_readable(found, skipped))
    if step == "best":  # sorting is stable: the best come first, the latest of each first
        manifests.sort(key=lambda item: not item[1].best)
    for path, manifest in manifests:
        try:
            arrays = {
                file.removesuffix(".safetensors"): _arrays(path / file, **expected)
                for file, expected in manifest.files.items()
            }
        except _DamagedError as error:
            skipped.append(str(error))
            continue
        return Checkpoint(manifest.step, arrays, manifest.meta, tuple(skipped))
    raise RunError(_none_usable(root, step, skipped))


def _name(step: int) -> str:
    return f"step-{step:08d}"


@contextmanager
def _reported(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or root
        raise RunError(f"checkpoints: {where}: {error.strerror or error}") from error


def _packed(name: str, named: Mapping[str, Array]) -> bytes:
    import numpy as np
    from safetensors.numpy import save as pack

    if not _FILE.fullmatch(f"{name}.safetensors"):
        raise RunError(f"checkpoints: '{name}' cannot be the name of a file")
    for key, array in named.items():
        if array.dtype.kind not in "biuf":
            raise RunError(f"checkpoints: {name}/{key} is {array.dtype}, which cannot be saved")
    # A copy in C order, because safetensors writes memory as it lies.
    return pack({k: np.array(a, a.dtype.newbyteorder("="), order="C") for k, a in named.items()})


def _manifest_text(
    step: int, best: bool, files: Mapping[str, bytes], meta: Mapping[str, Any]
) -> bytes:
    listed = {file: {"sha256": _sha256(data), "size": len(data)} for file, data in files.items()}
    content = {"format": FORMAT, "step": step, "best": best, "files": listed, "meta": dict(meta)}
    try:
        if json.loads(_canonical(content)) != content:
            raise ValueError("it does not come back as it was (tuples, or keys that are not text)")
        text = json.dumps({**content, "sha256": _sha256(_canonical(content))}, indent=1)
    except (TypeError, ValueError) as error:
        raise RunError(f"checkpoints: meta is not plain data: {error}") from error
    return text.encode()


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write_all(directory: Path, files: Mapping[str, bytes]) -> None:
    directory.mkdir()
    for name, data in files.items():
        with (directory / name).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    _sync(directory)


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _put(temporary: Path, place: Path) -> None:
    # A directory cannot be renamed onto a full one, so the old one steps aside; should all end
    # between the two renames, ``load`` finds it there.
    aside = place.with_name(f"{place.name}.old")
    if place.exists():
        _remove(aside)
        place.replace(aside)
    temporary.replace(place)
    _sync(place.parent)
    _remove(aside)


def _remove(path: Path) -> None:
    # Renamed first, so that what is half deleted is never taken for a checkpoint.
    if path.exists():
        doomed = path.with_name(f"{path.name}.gone.tmp")
        path.replace(doomed)
        shutil.rmtree(doomed)


def _sweep(root: Path) -> None:
    for path in root.iterdir():
        if path.name.startswith("step-") and path.name.endswith(".tmp"):
            shutil.rmtree(path)


def _prune(root: Path, step: int, keep: int) -> None:
    found = _found(root)
    past = {number: path for number, path in reversed(found) if number <= step}  # ``.old`` yields
    latest = sorted(past, reverse=True)
    kept = {past[number] for number in latest[: max(keep, 1)]}
    kept |= _best([(number, past[number]) for number in latest])
    for _, path in found:
        if path not in kept:
            _remove(path)


def _best(steps: list[tuple[int, Path]]) -> set[Path]:
    """The last one saved as the best, and those later ones that cannot be read just now."""
    kept: set[Path] = set()
    for number, path in steps:
        try:
            if _read_manifest(path, number).best:
                return kept | {path}
        except _UnreadableError:
            kept.add(path)
        except _DamagedError:
            continue
    return kept


def _found(root: Path) -> list[tuple[int, Path]]:
    """Directories that look like checkpoints, the last one first."""
    if not root.is_dir():
        return []
    matched = [(_STEP.fullmatch(path.name), path) for path in root.iterdir()]
    found = [(int(match[1]), path) for match, path in matched if match and path.is_dir()]
    return sorted(found, key=lambda item: (-item[0], item[1].name))


def _readable(
    found: list[tuple[int, Path]], skipped: list[str]
) -> Iterator[tuple[Path, _Manifest]]:
    for number, path in found:
        try:
            yield path, _read_manifest(path, number)
        except _DamagedError as error:
            skipped.append(str(error))


def _read_manifest(directory: Path, number: int) -> _Manifest:
    where = f"{directory.name}/{_MANIFEST}"
    try:
        content = json.loads(_read(directory / _MANIFEST, _LARGEST_MANIFEST))
        checksum = content.pop("sha256")
        version = content.get("format")
    except (ValueError, RecursionError, KeyError, AttributeError, TypeError):
        raise _DamagedError(f"{where}: not a manifest") from None
    if version != FORMAT:
        raise _DamagedError(f"{where}: format {version!r}, this program reads {FORMAT}")
    if checksum != _checksum(content):
        raise _DamagedError(f"{where}: checksum mismatch")
    if not _well_formed(content, number):
        raise _DamagedError(f"{where}: not a manifest of this step")
    return _Manifest(content["step"], content["best"], content["files"], content["meta"])


def _checksum(content: dict[str, Any]) -> str:
    try:
        return _sha256(_canonical(content))
    except (ValueError, RecursionError):
        return ""


def _well_formed(content: dict[str, Any], number: int) -> bool:
    if set(content) != {"format", "step", "best", "files", "meta"} or content["step"] != number:
        return False
    files, meta = content["files"], content["meta"]
    if not isinstance(files, dict) or not isinstance(meta, dict):
        return False
    return isinstance(content["best"], bool) and all(
        _FILE.fullmatch(name)
        and isinstance(entry, dict)
        and set(entry) == {"sha256", "size"}
        and isinstance(entry["size"], int)
        for name, entry in files.items()
    )


def _arrays(path: Path, sha256: str, size: int) -> Params:
    from safetensors import SafetensorError
    from safetensors.numpy import load as unpack

    data = _read(path, size)
    where = f"{path.parent.name}/{path.name}"
    if len(data) != size:
        raise _DamagedError(f"{where}: {len(data)} bytes instead of {size}")
    if _sha256(data) != sha256:
        raise _DamagedError(f"{where}: checksum mismatch")
    try:
        return {name: array.copy() for name, array in unpack(data).items()}
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _DamagedError(f"{where}: not readable ({error})") from None


def _read(path: Path, limit: int) -> bytes:
    """Reads a plain file of at most ``limit`` bytes: no link, no device, no surprise."""
    where = f"{path.parent.name}/{path.name}"
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or path.parent.is_symlink():
            raise _DamagedError(f"{where}: not a plain file")
        if status.st_size > limit:
            raise _DamagedError(f"{where}: {status.st_size} bytes, at most {limit} expected")
        return path.read_bytes()
    except OSError as error:
        raise _UnreadableError(f"{where}: {error.strerror or error}") from None


def _none_usable(root: Path, step: int | str, skipped: list[str]) -> str:
    wanted = f"of step {step}" if isinstance(step, int) else "that can be used"
    reasons = f" ({'; '.join(skipped)})" if skipped else ""
    return f"checkpoints: there is none {wanted} in {root}{reasons}"
