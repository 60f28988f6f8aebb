"""Run directories as a training would leave them, with numbers that are known exactly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,"
    b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)

DRAWING = """\
0: ──RZ(w0)──RY(w1)──RZ(w2)─╭●───────╭Z──RX(s0·x0)──RY(s1·x4)──RZ(s2·x8)── ··· ─┤  <Z>
1: ──RZ(w3)──RY(w4)──RZ(w5)─╰Z─╭●────│───RX(s3·x1)──RY(s4·x5)──RZ(s5·x9)── ··· ─┤  <Z>
2: ──RZ(w6)──RY(w7)──RZ(w8)────╰Z─╭●─│───RX(s6·x2)──RY(s7·x6)──RZ(s8·x10)─ ··· ─┤  <Z>
3: ──RZ(w9)──RY(w10)─RZ(w11)──────╰Z─╰●──RX(s9·x3)──RY(s10·x7)─RZ(s11·x11) ··· ─┤  <Z>"""


def model(kind: str = "vqc") -> dict[str, Any]:
    quantum = {"angles": 60, "readout": 77, "scales": 48}
    described: dict[str, Any] = {
        "agents": ["drone_0", "drone_1", "drone_2"],
        "models": 3,
        "actor": {
            "kind": kind,
            "backend": "program" if kind == "vqc" else "numpy",
            "parameters": 185 if kind == "vqc" else 187,
            "by_role": quantum if kind == "vqc" else {"weights": 187},
        },
        "twin": {
            "kind": "mlp" if kind == "vqc" else "vqc",
            "parameters": 187 if kind == "vqc" else 185,
        },
        "critic": {"kind": "local", "sizes": [12, 64, 64, 1], "parameters": 5057},
        "inputs": 12,
        "actions": 7,
    }
    if kind == "vqc":
        described["circuit"] = {
            "qubits": 4,
            "depth": 33,
            "gates": {"RZ": 52, "RY": 36, "CZ": 16, "RX": 20},
            "parameters": 108,
            "path": "program",
            "reason": "fused, and verified against default.qubit",
            "drawing": DRAWING,
        }
    return {"all": described}


def config(kind: str = "vqc", rounds: int = 100) -> dict[str, Any]:
    return {
        "name": "quickstart",
        "seed": 7,
        "rounds": rounds,
        "device": "cpu",
        "executor": {"kind": "inline", "workers": 2, "address": None, "resources": {}},
        "env": {"id": "drone_navigation", "backend": "point", "num_envs": 64, "drones": 3},
        "agents": {"all": "*"},
        "actor": {"kind": kind, "backend": "program", "precision": "float32"},
        "critic": {"kind": "local", "hidden": [64, 64]},
        "algorithm": {"kind": "ppo", "gamma": 0.98, "learning_rate": {"angles": 0.02}},
        "federation": {
            "sharing": "federated",
            "client": "agent",
            "strategy": {"kind": "fedadam", "eta": 0.05},
            "share": ["actor.*"],
        },
        "evaluation": {"every": 25, "episodes": 64, "final_episodes": 200, "greedy": True},
        "logging": {"directory": "runs", "tensorboard": True, "keep": 3},
    }


def metrics(rounds: int, speed: float = 1.0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(3)
    lines = []
    for number in range(rounds):
        skill = 1 / (1 + np.exp(-10 * (speed * number / 99 - 0.45)))
        success = float(np.clip(0.95 * skill + rng.normal(0, 0.04), 0, 1))
        line: dict[str, Any] = {
            "round": number,
            "env_steps": 6400 * (number + 1),
            "round_env_steps": 6400,
            "episode/return": float(-9 + 22 * skill + rng.normal(0, 0.8)),
            "episode/success": success,
            "episode/collision": float(np.clip(0.6 - 0.59 * skill + rng.normal(0, 0.02), 0, 1)),
            "episode/length": float(70 - 20 * skill),
            "episode/time_to_goal": float(6.5 - 1.9 * skill + rng.normal(0, 0.1)),
            "episodes": 90,
            "federation/all/participants": 3,
            "federation/all/rejected": 0,
            "federation/all/update_norm": float(1.2 * (1 - 0.8 * skill)),
            "federation/all/bytes_up": 5000,
            "federation/all/bytes_down": 5200,
            "clock/collect_s": 0.3,
            "clock/learn_s": 0.6,
            "clock/federate_s": 0.01,
            "clock/round_s": 1.0 if (number + 1) % 25 == 0 else 0.92,
            "clock/env_steps_per_s": 6900.0,
        }
        for name, value in (("entropy", 1.9 - skill), ("approx_kl", 0.01), ("grad_norm", 0.5)):
            line[f"learn/all/{name}"] = float(value)
        line |= {"learn/all/clip_fraction": 0.1, "learn/all/value_loss": float(9 - 8 * skill)}
        if (number + 1) % 25 == 0:
            line |= scored("success", 0.95 * skill, 0.04)
            line |= scored("collision", 0.6 - 0.59 * skill, 0.03)
            line |= scored("return", -9 + 22 * skill, 0.7)
        lines.append(line)
    return lines


def scored(name: str, mean: float, spread: float) -> dict[str, float]:
    start, least = f"eval/{name}", -99.0 if name == "return" else 0.0
    low, high = max(mean - spread, least), mean + spread
    return {start: mean, f"{start}_low": low, f"{start}_high": high}


def evaluation(success: tuple[float, float, float] = (0.96, 0.93, 0.985)) -> dict[str, Any]:
    names = ("mean", "low", "high")
    return {
        "return": dict(zip(names, (12.34, 11.9, 12.8), strict=True)),
        "length": dict(zip(names, (51.0, 50.0, 52.0), strict=True)),
        "success": dict(zip(names, success, strict=True)),
        "collision": dict(zip(names, (0.015, 0.0, 0.035), strict=True)),
        "time_to_goal": dict(zip(names, (4.61, 4.55, 4.68), strict=True)),
        "episodes": 200,
        "seed": 1000,
        "policy": "greedy",
        "round": 100,
        "overrides": [],
    }


ENVIRONMENT = {
    "python": "3.12.4",
    "packages": {"qmarl": "0.1.0", "numpy": "2.4.0", "torch": "2.13.0", "pennylane": "0.45.1"},
    "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "changed": False},
    "platform": {"system": "Linux", "machine": "x86_64"},
    "seed": 7,
}


def fill(path: Path, kind: str = "vqc", speed: float = 1.0, rounds: int = 100) -> Path:
    """Writes a whole run directory."""
    for directory in (path, path / "eval", path / "media"):
        directory.mkdir(parents=True)
    state = {"state": "finished", "round": rounds, "time": "2026-01-01T12:00:00+00:00"}
    objects = {
        "config.resolved.json": config(kind, rounds),
        "env.json": ENVIRONMENT,
        "status.json": state,
        "model.json": model(kind),
        "eval/seed1000-episodes200-greedy.json": evaluation(),
    }
    for name, data in objects.items():
        (path / name).write_text(json.dumps(data))
    lines = [json.dumps(line) for line in metrics(rounds, speed)]
    (path / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    (path / "media" / "flight.gif").write_bytes(GIF)
    return path


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Makes run directories by name."""
    return lambda name="quantum", **how: fill(tmp_path / "runs" / name, **how)
