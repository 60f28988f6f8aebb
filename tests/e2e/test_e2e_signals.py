"""Runs that are interrupted, killed and gone on with, as real processes."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from e2e_configs import RELAY

from qmarl import checkpoint
from trainers.config import load_experiment
from trainers.interrupt import RunInterruptedError
from trainers.logger import read_metrics
from trainers.progress import SilentProgress
from trainers.rundir import RunDirectory
from trainers.runs import train

ROUNDS = 100  # of a slow world: 8 s, so that a signal always finds it at work


def wait_for_rounds(process: subprocess.Popen[str], home: Path, rounds: int) -> RunDirectory:
    """Waits until a run has logged so many rounds."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if (home / "latest").exists():
            run = RunDirectory.open((home / "latest").resolve())
            if len(read_metrics(run)) >= rounds:
                return run
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"no round {rounds}: {process.communicate()}")


def end(process: subprocess.Popen[str], number: int) -> tuple[int, str]:
    """Sends a signal and gives the process five seconds."""
    process.send_signal(number)
    _, err = process.communicate(timeout=5)
    return process.returncode, err


def test_interrupted_twice_killed_once_and_still_the_same_bits(
    start: Any, here: Any, config: Any, latest: Any, bits: Any, tmp_path: Path
) -> None:
    slow, home = tmp_path / "slow", tmp_path / "runs" / "tiny"
    slow.touch()
    path = config(RELAY % f"slow: '{slow}'")
    more = [f"rounds={ROUNDS}", "logging.checkpoint_every=7"]

    process = start("train", path, *more)
    run = wait_for_rounds(process, home, 3)
    assert here("resume", run.path) == (
        4,
        "",
        f"error: '{run.path}' is locked by process {process.pid}\n",
    )
    code, err = end(process, signal.SIGTERM)
    assert (code, err.splitlines()[-1]) == (143, "error: interrupted by SIGTERM")
    assert run.status.state == "interrupted"
    done = checkpoint.load(run.checkpoints).step
    assert 2 <= done == run.status.round < ROUNDS  # the third round may be logged, yet not done

    process = start("resume", run.path)
    wait_for_rounds(process, home, done + 3)
    code, err = end(process, signal.SIGINT)
    assert (code, err.splitlines()[-1]) == (130, "error: interrupted by SIGINT")
    done, former = checkpoint.load(run.checkpoints).step, done
    assert former + 2 <= done < ROUNDS

    process = start("resume", run.path)
    wait_for_rounds(process, home, done + 9)  # beyond a multiple of checkpoint_every
    assert end(process, signal.SIGKILL)[0] == -signal.SIGKILL
    assert run.status.state == "running"
    done, former = checkpoint.load(run.checkpoints).step, done
    assert former < done < ROUNDS
    assert done % 7 == 0

    slow.unlink()
    assert here("resume", run.path)[0] == 0
    assert [line["round"] for line in read_metrics(run)] == list(range(ROUNDS))
    assert here("train", path, *more)[0] == 0
    assert latest() != run
    assert bits(run) == bits(latest())


class StopsAtStart(SilentProgress):
    """Interrupts a run before its first round, where the circuit is drawn and described."""

    def start(self, total_rounds: int, summary: Mapping[str, str]) -> None:
        raise RunInterruptedError(signal.SIGINT)


def test_an_interruption_before_the_first_round_can_be_gone_on_from(
    here: Any, config: Any, latest: Any, bits: Any
) -> None:
    with pytest.raises(RunInterruptedError):
        train(load_experiment(config()), source="", console=StopsAtStart())
    run = latest()
    assert (run.status.state, run.status.round) == ("interrupted", 0)
    assert checkpoint.load(run.checkpoints).step == 0
    assert here("resume", run.path)[0] == 0
    assert here("train", config())[0] == 0
    assert bits(run) == bits(latest())
