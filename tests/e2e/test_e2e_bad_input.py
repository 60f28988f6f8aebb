"""Whatever is wrong ends in one clear sentence, the right exit code, and nothing lost."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from e2e_configs import DRONES, RELAY

from qmarl import checkpoint
from trainers.logger import read_metrics


def refused(result: tuple[int, str, str], code: int, words: str) -> None:
    """Checks a refusal: its code, nothing on stdout, and one error at the end of stderr."""
    assert (result[0], result[1]) == (code, "")
    assert "Traceback" not in result[2]
    assert result[2].count("error: ") == 1
    assert re.search(words, result[2].partition("error: ")[2]), result[2]


WRONG_FILES: dict[str, tuple[bytes | None, str]] = {
    "list": (b"- a\n- b\n", r"must hold key: value lines \(got a list\)"),
    "empty": (b"", "empty"),
    "binary": (b"\x00\xff\xfe\x80\x01", "UTF-8|text"),
    "task": (b"env: {id: drone_navigatoin}\n", "the nearest world is 'drone_navigation'"),
    "key": (DRONES.replace("rounds", "rouns").encode(), "did you mean 'rounds'"),
    "missing": (None, "tiny.yaml"),
}


@pytest.mark.parametrize("what", WRONG_FILES)
def test_a_wrong_configuration(qmarl: Any, tmp_path: Path, what: str) -> None:
    content, words = WRONG_FILES[what]
    path = tmp_path / "tiny.yaml"
    if content is not None:
        path.write_bytes(content)
    refused(qmarl("train", path), 2, words)
    assert not (tmp_path / "runs").exists()


def test_a_directory_as_configuration_or_as_run(qmarl: Any, here: Any, tmp_path: Path) -> None:
    refused(qmarl("train", tmp_path), 2, "directory")
    (tmp_path / "notes.txt").touch()
    refused(qmarl("resume", tmp_path), 4, "is not a run directory")
    for command in ("resume", "evaluate", "report"):
        refused(here(command, tmp_path), 4, "is not a run directory")
        refused(here(command, tmp_path / "nowhere"), 4, "there is no run directory")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("overrides", "code", "words"),
    [
        (["env.id=e2e_worlds:broken"], 2, "OSError: no such simulator"),
        (["env.id=e2e_worlds:gone"], 2, "no attribute 'gone'"),
        (["executor.kind=ray", "executor.address=127.0.0.1:1"], 3, "no Ray cluster answers at"),
        (["logging.directory=/dev/null/runs"], 4, "'/dev/null/runs/tiny': Not a directory"),
    ],
)
def test_what_cannot_be_had(
    qmarl: Any, config: Any, overrides: list[str], code: int, words: str
) -> None:
    refused(qmarl("train", config(RELAY % ""), *overrides), code, words)


TROUBLE = {
    "observation": "error: e2e_worlds:Relay: an observation of bee in world 0 is nan, ",
    "reward": "error: e2e_worlds:Relay: a reward of cow in world 0 is inf, ",
    "raise": "error: e2e_worlds:Relay: world 0 raised OSError: the simulator is gone",
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_trouble_in_the_middle_of_training_loses_nothing(
    here: Any, config: Any, latest: Any, bits: Any, tmp_path: Path, trouble: str
) -> None:
    spoiled = f"tally: '{tmp_path / 'tally'}', spoil: {trouble}, at: 13"
    path = config(RELAY % spoiled)
    code, out, err = here("train", path, "rounds=9", "logging.checkpoint_every=9")
    assert (code, out) == (4, "")
    assert err.splitlines()[-1].startswith(TROUBLE[trouble])
    run = latest()
    done = len(read_metrics(run))
    assert 2 < done < 9
    assert (run.status.state, run.status.round) == ("failed", done)
    assert checkpoint.load(run.checkpoints).step == done

    assert here("resume", run.path)[0] == 0  # the trouble was a passing one
    assert here("train", config(RELAY % ""), "rounds=9", "logging.checkpoint_every=9")[0] == 0
    assert bits(run) == bits(latest())


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Makes the disk full, or gives it room again."""
    real = os.fsync

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return lambda room: monkeypatch.setattr(os, "fsync", real if room else full)


def test_a_disk_that_fills_up_loses_nothing(
    here: Any, config: Any, latest: Any, bits: Any, disk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainers.trainer import Trainer

    whole = Trainer._round

    def then_full(trainer: Trainer, state: Any) -> Any:
        disk(state.round < 3)
        return whole(trainer, state)

    path = config()
    more = ["rounds=5", "logging.checkpoint_every=2"]
    monkeypatch.setattr(Trainer, "_round", then_full)
    code, _, err = here("train", path, *more)
    run = latest()
    *_, note, error = err.splitlines()
    assert code == 4
    assert error == f"error: '{run.metrics.parent / 'federation.jsonl'}': No space left on device"
    assert note.startswith("note: the end of the run could not be written down: ")
    assert "No space left" in note
    refused(here("resume", run.path), 4, "No space left on device")

    disk(True)
    monkeypatch.setattr(Trainer, "_round", whole)
    assert checkpoint.load(run.checkpoints).step == 2
    assert here("resume", run.path)[0] == 0
    assert here("train", path, *more)[0] == 0
    assert bits(run) == bits(latest())


def test_the_first_error_is_told_when_the_second_is_a_full_disk(
    here: Any, config: Any, disk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainers import runs

    leave = runs._leave

    def without_room(*given: Any) -> None:
        disk(False)
        leave(*given)

    monkeypatch.setattr(runs, "_leave", without_room)
    spoiled = f"tally: '{tmp_path / 'tally'}', spoil: reward, at: 5"
    code, _, err = here("train", config(RELAY % spoiled), "rounds=9")
    *_, note, error = err.splitlines()
    assert (code, error[:32]) == (4, TROUBLE["reward"][:32])
    assert "No space left" in note


def test_a_flipped_byte_is_named_and_the_checkpoint_before_is_used(
    here: Any, config: Any, latest: Any, bits: Any
) -> None:
    assert here("train", config(), "logging.checkpoint_every=1")[0] == 0
    run = latest()
    before = bits(run)
    victim = run.checkpoints / "step-00000003" / "params.all.safetensors"
    raw = bytearray(victim.read_bytes())
    raw[len(raw) // 2] ^= 1
    victim.write_bytes(bytes(raw))
    named = "note: passed over a damaged checkpoint: step-00000003/params.all.safetensors: checksum"

    code, out, err = here("evaluate", run.path, "--json", "--episodes", 2)
    assert (code, err[: len(named)]) == (0, named)
    assert '"round": 2' in out
    code, _, err = here("resume", run.path)
    assert (code, err[: len(named)]) == (0, named)
    assert bits(run) == before


def test_a_checkpoint_that_is_all_damage_is_refused(here: Any, config: Any, latest: Any) -> None:
    assert here("train", config(), "rounds=1")[0] == 0
    run = latest()
    (run.checkpoints / "step-00000001" / "manifest.json").write_text("{")
    for command in ("resume", "evaluate"):
        refused(here(command, run.path), 4, "none that can be used in .*manifest.json: not a man")
