"""Layer-wise training: frozen layers do not move, and a resumed run freezes the same ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.actor import ActorConfig
from agents.factory import make_actor
from qmarl import checkpoint
from qmarl.circuits.training import TrainingConfig, learning_layers
from qmarl.errors import ConfigurationError
from trainers.algorithms.adam import Packing, RoleSettings, StackedAdam, initial_moments
from trainers.algorithms.layerwise import moving
from trainers.build import build
from trainers.config import ExperimentConfig
from trainers.interrupt import RunInterruptedError
from trainers.progress import SilentProgress
from trainers.runs import resume
from trainers.runs import train as start

LAYERS = 4
ACTOR = {
    "circuit": {
        "qubits": 2,
        "layers": LAYERS,
        "reupload": True,
        "encoding": {"rotations": "xy", "scales": True},
        "ansatz": {"kind": "hardware_efficient"},
        "training": {"kind": "layerwise", "growth": 0.5},
    }
}


def layers_at(progress: float, **settings: object) -> list[int]:
    training = TrainingConfig.model_validate({"kind": "layerwise", **settings})
    return np.flatnonzero(learning_layers(training, 5, progress)).tolist()


def test_layers_are_added_then_parts_take_turns() -> None:
    assert layers_at(0.0, first=2, step=2) == [0, 1]
    assert layers_at(0.2, first=2, step=2) == [0, 1, 2, 3]
    assert layers_at(0.49, first=2, step=2) == [0, 1, 2, 3, 4]
    assert layers_at(0.2, first=2, step=2, window=2) == [2, 3]
    turns = [layers_at(progress, parts=2, sweeps=2) for progress in (0.5, 0.65, 0.8, 0.95)]
    assert turns == [[0, 1, 2], [3, 4]] * 2
    assert layers_at(0.7, parts=1) == [0, 1, 2, 3, 4]
    assert layers_at(0.99, growth=1.0) == [0, 1, 2, 3, 4]
    whole = TrainingConfig()
    assert learning_layers(whole, 5, 0.0).all()


@pytest.mark.parametrize("progress", np.arange(0, 1, 0.05).tolist())
def test_something_learns_at_any_time(progress: float) -> None:
    for settings in ({}, {"first": 3, "step": 4}, {"window": 1}, {"parts": 5, "sweeps": 3}):
        assert layers_at(progress, **settings)


def test_frozen_layers_do_not_move_and_their_moments_do() -> None:
    actor = make_actor(ActorConfig.model_validate({**ACTOR, "precision": "float64"}), 4, 3)
    packing = Packing.of(actor.layout)
    params = {name: array[None] for name, array in actor.initial(np.random.default_rng(0)).items()}
    rows = torch.as_tensor(packing.pack(params)).requires_grad_()
    roles = ("angles", "scales", "readout")
    settings = RoleSettings(dict.fromkeys(roles, 0.1), dict.fromkeys(roles, 1.0))
    adam = StackedAdam(packing, rows, initial_moments(1, actor.layout), settings)
    adam.freeze(moving(actor, packing, 0.2))  # the second of four stages
    seen = torch.ones(1, 5, 4, dtype=torch.float64)
    for _ in range(3):
        actor.outputs(packing.views(rows), seen).sum().backward()
        adam.step()
    after = packing.unpack(rows.detach().numpy())
    still = {name: (after[name][0] == params[name][0]) for name in params}
    for name in ("angles", "scales"):
        assert not still[name][:2].all(axis=-1).any()
        assert still[name][2:LAYERS].all()
    assert not still["angles"][LAYERS].all()  # the closing column belongs to no layer
    assert not still["readout.weight"].any()
    assert np.abs(packing.unpack(adam.moments()["first"])["angles"][0, 2:LAYERS]).max() > 0


def test_what_has_no_layers_is_never_frozen() -> None:
    mlp = make_actor(ActorConfig.model_validate({**ACTOR, "kind": "mlp"}), 4, 3)
    assert moving(mlp, Packing.of(mlp.layout), 0.0).all()
    whole = make_actor(ActorConfig(), 4, 3)
    assert moving(whole, Packing.of(whole.layout), 0.0).all()
    single = {**ACTOR["circuit"], "reupload": False}
    once = make_actor(ActorConfig.model_validate({"circuit": single}), 4, 3)
    packing = Packing.of(once.layout)
    masks = packing.unpack(moving(once, packing, 0.0)[None])
    assert masks["scales"].all()
    assert not masks["angles"][0, 1:LAYERS].any()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training={kind: layerwise, first: 9}", r"training.first: 9 is more than the circuit's 2"),
        ("training={kind: layerwise, parts: 3}", r"training.parts: 3 is more than the circuit's 2"),
    ],
)
def test_more_layers_than_there_are_is_refused(
    small: Callable[..., ExperimentConfig], override: str, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        small("actor.circuit.layers=2", f"actor.circuit.{override}")


class StopInRoundTwo(SilentProgress):
    def __init__(self) -> None:
        self.rounds = 0

    def round(self, metrics: Mapping[str, float]) -> None:
        self.rounds += 1
        if self.rounds == 2:
            raise RunInterruptedError(15)


def arrays(run: Path) -> dict[tuple[str, str], Any]:
    state = checkpoint.load(run / "checkpoints")
    return {
        (part, name): values
        for part, named in state.arrays.items()
        for name, values in named.items()
    }


def test_a_resumed_run_freezes_the_same_layers(
    small: Callable[..., ExperimentConfig], train: Callable[..., Path], tmp_path: Path
) -> None:
    config = small("rounds=4", "actor.circuit.layers=2", "actor.circuit.training=layerwise")
    whole = arrays(train(config))
    with pytest.raises(RunInterruptedError):
        start(config, source="", console=StopInRoundTwo())
    stopped = max((tmp_path / "runs" / "small").glob("2*"), key=lambda p: p.stat().st_mtime_ns)
    key = ("params.all", "actor.angles")
    after = arrays(stopped)[key][0].astype(np.float32)  # learners compute in float32
    before = build(config).start.params["all"]["actor.angles"][0].astype(np.float32)
    assert (after[1] == before[1]).all()  # the second layer has not started
    assert (after[0] != before[0]).any()
    resume(stopped, SilentProgress())
    again = arrays(stopped)
    assert whole.keys() == again.keys()
    assert all((whole[name] == again[name]).all() for name in whole)
    assert (again[key][0, 1] != before[1]).any()
