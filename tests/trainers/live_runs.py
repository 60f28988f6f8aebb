"""Run directories as a training would leave them half way, with numbers that are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,"
    b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)


def line(number: int, **more: float) -> dict[str, Any]:
    return {
        "round": number,
        "env_steps": 100 * (number + 1),
        "round_env_steps": 100,
        "episode/return": float(number),
        "episode/success": number / 10,
        "episode/collision": 0.25,
        "federation/all/participants": 2,
        "federation/all/rejected": 0,
        "federation/all/bytes_up": 10,
        "clock/worlds_s": 0.5,
        "clock/circuits_s": 1.0,
        "clock/learning_s": 0.25,
        "clock/federate_s": 0.25,
        "clock/round_s": 2.0,
        "clock/env_steps_per_s": 50.0,
        **more,
    }


def exchange(number: int) -> dict[str, Any]:
    refused = [{"client": "bob", "reason": "norm is too large", "faulty": True}]
    carol = {"client": "carol", "weight": 0.5, "staleness": 1, "similarity": 0.5}
    group = {
        "asked": ["alice", "bob", "carol"],
        "participants": ["alice", "carol"],
        "rejected": refused,
        "missing": [],
        "contributions": [{"client": "alice", "weight": 0.5, "staleness": 0}, carol],
    }
    return {"round": number, "groups": {"all": group}}


def fill(path: Path, done: int = 4, state: str = "running", name: str = "patrol") -> Path:
    """Writes the directory of a run of ten rounds after ``done`` of them."""
    for directory in (path, path / "eval", path / "media", path / "checkpoints"):
        directory.mkdir(parents=True)
    (path / "config.resolved.json").write_text(
        json.dumps({"name": name, "rounds": 10, "seed": 1, "env": {"id": "drone_navigation"}})
    )
    put_state(path, state, done)
    for number in range(done):
        append(path, number)
    return path


def append(path: Path, number: int) -> None:
    for name, data in (("metrics", line(number)), ("federation", exchange(number))):
        with (path / f"{name}.jsonl").open("a") as file:
            file.write(json.dumps(data) + "\n")


def put_state(path: Path, state: str, done: int, reason: str = "") -> None:
    said = {"state": state, "round": done, "time": "2026-01-01T12:00:00+00:00", "reason": reason}
    (path / "status.json").write_text(json.dumps(said))
