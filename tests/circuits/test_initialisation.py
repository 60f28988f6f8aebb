"""Initialisations: what they draw, and where identity blocks really are the identity."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qmarl.circuits import CircuitConfig, build_circuit
from qmarl.circuits.ansatz import AnsatzConfig
from qmarl.circuits.builtin import initial_weights
from qmarl.circuits.encoding import EncodingConfig
from qmarl.circuits.initialisation import INITIALISATIONS
from qmarl.errors import ConfigurationError
from trainers.config import load_experiment


def circuit_config(start: str, qubits: int = 3, layers: int = 4) -> CircuitConfig:
    return CircuitConfig(
        qubits=qubits,
        layers=layers,
        encoding=EncodingConfig(rotations="xy"),
        ansatz=AnsatzConfig.model_validate({"kind": "hardware_efficient", "initialisation": start}),
    )


def draws(name: str, shape: tuple[int, ...], spread: float) -> Any:
    return INITIALISATIONS[name](shape, spread, np.random.default_rng(0))


def test_spreads() -> None:
    shape = (16, 50, 3)
    assert draws("normal", shape, 0.2).std() == pytest.approx(0.2, rel=0.05)
    assert draws("small_angle", shape, 0.2).std() == pytest.approx(0.05, rel=0.05)
    angles = draws("uniform", shape, 0.2)
    assert angles.std() == pytest.approx(math.pi / math.sqrt(3), rel=0.05)
    assert np.abs(angles).max() <= math.pi
    for name in INITIALISATIONS:
        drawn = draws(name, (5, 2, 3), 0.2)
        assert drawn.shape == (5, 2, 3)
        assert drawn.dtype == np.float64
        np.testing.assert_array_equal(drawn, draws(name, (5, 2, 3), 0.2))


@pytest.mark.parametrize(("qubits", "layers"), [(1, 2), (2, 2), (3, 4), (5, 6)])
def test_identity_blocks_leave_the_encoded_state_as_it_is(qubits: int, layers: int) -> None:
    config = circuit_config("identity_block", qubits, layers)
    circuit = build_circuit(config, 2 * qubits)
    rng = np.random.default_rng(1)
    drawn = circuit.initial(rng)["angles"]
    assert np.abs(drawn).max() > 1  # far from doing nothing gate by gate
    inputs = rng.uniform(-3, 3, (1, 8, 2 * qubits))
    found = circuit(torch.as_tensor(inputs), {"angles": torch.as_tensor(drawn[None])})
    x, y = inputs[0, :, 0::2], inputs[0, :, 1::2]
    np.testing.assert_allclose(found[0].numpy(), np.cos(x) * np.cos(y), atol=1e-12)
    uniform = draws("uniform", drawn.shape, 0.0)
    other = circuit(torch.as_tensor(inputs), {"angles": torch.as_tensor(uniform[None])})
    assert float((other - found).abs().max()) > 0.1


@pytest.mark.parametrize(
    ("kind", "qubits"),
    [("strongly_entangling", 1), ("basic_entangler", 1), ("basic_entangler", 2)],
)
def test_layers_whose_gates_undo_themselves_pair_up(kind: str, qubits: int) -> None:
    config = CircuitConfig.model_validate(
        {
            "qubits": qubits,
            "layers": 4,
            "encoding": {"rotations": "xy"},
            "ansatz": {"kind": kind, "initialisation": "identity_block"},
        }
    )
    circuit, rng = build_circuit(config, 2 * qubits), np.random.default_rng(1)
    drawn = circuit.initial(rng)["angles"]
    assert np.abs(drawn).max() > 1
    assert np.abs(drawn[0] - drawn[2]).max() > 0.1  # every pair has its own
    inputs = rng.uniform(-3, 3, (1, 8, 2 * qubits))
    found = circuit(torch.as_tensor(inputs), {"angles": torch.as_tensor(drawn[None])})
    x, y = inputs[0, :, 0::2], inputs[0, :, 1::2]
    np.testing.assert_allclose(found[0].numpy(), np.cos(x) * np.cos(y), atol=1e-12)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("kind=strongly_entangling", "rings of CNOTs of 'strongly_entangling'"),
        ("kind=basic_entangler", "rings of CNOTs of 'basic_entangler'"),
        ("layers=3", "there are 3; use an even number"),
        ("reupload=true", "data stand between the layers"),
    ],
)
def test_what_cannot_undo_itself_is_refused_with_its_place(
    tmp_path: Path, setting: str, message: str
) -> None:
    path = tmp_path / "demo.yaml"
    path.write_text(
        "env: drone_navigation\nactor: {circuit: {encoding: {rotations: xyz}, layers: 2, "
        "ansatz: {kind: hardware_efficient, initialisation: identity_block}}}\n"
    )
    assert load_experiment(path).actor.circuit.ansatz.initialisation == "identity_block"
    place = "actor.circuit.ansatz." if setting.startswith("kind") else "actor.circuit."
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_experiment(path, [place + setting])
    assert "actor.circuit.ansatz.initialisation: 'identity_block'" in str(caught.value)


def test_a_config_that_was_changed_behind_its_back_is_refused_too() -> None:
    config = circuit_config("identity_block").model_copy(update={"layers": 3})
    with pytest.raises(ConfigurationError, match="use an even number"):
        initial_weights(config, 3, np.random.default_rng(0))
