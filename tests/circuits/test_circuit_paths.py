"""Noise and shots through the front door: one way for circuits, actors and devices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pennylane as qp
import pytest
import torch

from qmarl.circuits import (
    Circuit,
    CircuitConfig,
    DeviceSettings,
    NoiseConfig,
    Sampling,
    build_circuit,
    check_circuit,
)
from qmarl.circuits.noise_program import NoisyProgram
from qmarl.errors import ConfigurationError, RunError

NOISE = NoiseConfig(depolarising=0.03, amplitude_damping=0.05, readout_error=0.04)


def turned(inputs: Any, weights: Any) -> Any:
    qp.RX(inputs[..., 0], 0)
    qp.RY(weights[0], 1)
    qp.CNOT([0, 1])
    qp.RZ(weights[1] * inputs[..., 1], 1)
    qp.RX(weights[0], 1)
    return qp.expval(qp.Z(0)), qp.expval(qp.X(0) @ qp.Z(1))


def measured_midway(inputs: Any, weights: Any) -> Any:
    qp.RX(inputs[..., 0], 0)
    qp.cond(qp.measure(0), qp.RY)(weights[0], wires=1)
    return qp.expval(qp.Z(1))


def draw(*lead: int, batch: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(1)
    inputs = torch.as_tensor(rng.normal(size=(*lead, batch, 2))).requires_grad_()
    return inputs, torch.as_tensor(rng.normal(size=(*lead, 2))).requires_grad_()


def run(circuit: Circuit, *lead: int) -> list[torch.Tensor]:
    inputs, weights = draw(*lead)
    outputs = circuit(inputs, weights)
    return [outputs.detach(), *torch.autograd.grad(outputs.square().mean(), [inputs, weights])]


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_noise_acts_in_the_circuit(lead: tuple[int, ...]) -> None:
    circuit = Circuit(turned, 2, (2,), noise=NOISE)
    assert circuit.program is not None
    inputs, weights = draw(*lead)
    outputs = circuit(inputs, weights)
    assert outputs.shape == (*lead, 3, 2)
    flat = {"weights": weights.detach().reshape(-1, 2)}
    runner = NoisyProgram(circuit.program, NOISE)
    expected = runner.run(inputs.detach().reshape(-1, 3, 2), flat).reshape(outputs.shape)
    torch.testing.assert_close(outputs.detach(), expected)
    assert float((outputs - Circuit(turned, 2, (2,))(inputs, weights)).detach().abs().max()) > 0.01
    for gradient in torch.autograd.grad(outputs.sum(), [inputs, weights]):
        assert float(gradient.abs().max()) > 0


def test_exact_shifts_equal_the_adjoint() -> None:
    shifts = Sampling(gradient="parameter_shift")
    for noise in (None, NOISE):
        exact = run(Circuit(turned, 2, (2,), noise=noise), 2)
        shifted = run(Circuit(turned, 2, (2,), noise=noise, shots=shifts), 2)
        for one, other in zip(exact, shifted, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", ["program", "pennylane:default.qubit"])
def test_shots_mean_the_same_on_every_backend(backend: str) -> None:
    circuit = Circuit(turned, 2, (2,), backend=backend, shots=64)
    counts = run(circuit, 2)[0] * 32  # means of 64 signs
    torch.testing.assert_close(counts, counts.round())
    assert (circuit.shots, circuit.gradient) == (64, "parameter_shift")
    exact = run(Circuit(turned, 2, (2,)), 2)
    many = run(Circuit(turned, 2, (2,), backend=backend, shots=40_000), 2)
    for one, other in zip(exact, many, strict=True):
        assert 0 < float((one - other).abs().max()) < 0.05


def test_what_falls_back_takes_shots_but_no_noise() -> None:
    circuit = Circuit(measured_midway, 1, (1,), shots=50)
    assert (circuit.path, circuit.shots) == ("pennylane:default.qubit", 50)
    with pytest.raises(ConfigurationError, match=r"'odd': noise acts on fused.*measure"):
        Circuit(measured_midway, 1, (1,), noise=NOISE, name="odd")


def test_a_description_tells_noise_and_shots() -> None:
    config = CircuitConfig(qubits=2, layers=1)
    told = build_circuit(config, 2, noise=NOISE, shots=100).describe()
    assert told.noise == {
        "depolarising": 0.03,
        "amplitude_damping": 0.05,
        "readout_error": 0.04,
        "placement": "gate",
    }
    assert (told.shots, told.gradient, told.path) == (100, "parameter_shift", "program")
    for words in ("noise exactly", "outputs from 100 shots", "gradients by parameter shift"):
        assert words in told.reason
    plain = build_circuit(config, 2).describe()
    assert (plain.noise, plain.shots, plain.gradient) == ({}, None, "adjoint")
    wide = build_circuit(CircuitConfig(qubits=7, layers=1), 7, noise=NOISE)
    assert "noise by 64 random trajectories" in wide.reason


def test_a_description_tells_how_many_qubits_an_output_is_about() -> None:
    for kind, locality in {"z": 1, "local": 1, "z_pairs": 2, "probabilities": 4}.items():
        config = CircuitConfig.model_validate({"readout": {"kind": kind}})
        assert build_circuit(config, 4).describe().locality == locality


def test_another_backend_is_exact_and_keeps_its_device_settings() -> None:
    device = DeviceSettings(options={"seed": 3})
    noisy = Circuit(turned, 2, (2,), noise=NOISE, shots=10)
    other = noisy.on("pennylane:default.qubit", device)
    assert (other.shots, other.device) == (None, device)
    assert noisy.on("program", shots=5).shots == 5
    with pytest.raises(ConfigurationError, match="check it without noise and shots"):
        check_circuit(noisy)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"shots": 0}, "shots must be a whole number of at least 1, got 0"),
        ({"shots": -3}, "got -3"),
        ({"shots": 2.5}, "got 2.5"),
        ({"shots": True}, "got True"),
        ({"backend": "pennylane:default.qubit", "shots": 0}, "at least 1, got 0"),
        (
            {"backend": "pennylane:default.mixed", "noise": NOISE},
            "noise acts on fused circuits alone, but it runs on pennylane:default.mixed",
        ),
        (
            {"backend": "pennylane:default.qubit", "shots": Sampling(gradient="spsa")},
            "'spsa' is for 'backend: program'",
        ),
        (
            {
                "backend": "pennylane:default.qubit",
                "device": DeviceSettings(options={"shots": 7}),
                "shots": 8,
            },
            "7 shots, but actor.shots is 8",
        ),
        ({"backend": "pennylane:defualt.qubit"}, "(did you mean 'default.qubit'?)"),
        ({"backend": "qiskit"}, "allowed are 'program' and 'pennylane:<device>'"),
    ],
)
def test_what_cannot_be_names_the_circuit(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^circuit 'mine': ") as error:
        Circuit(turned, 2, (2,), name="mine", **settings)
    assert words in str(error.value)


@pytest.mark.parametrize("settings", [{"noise": NOISE}, {"shots": 10}])
@pytest.mark.parametrize("place", ["inputs", "weights"])
def test_numbers_that_are_not_finite_are_found_before_any_shot(
    settings: dict[str, Any], place: str
) -> None:
    inputs, weights = (tensor.detach() for tensor in draw(2))
    (inputs if place == "inputs" else weights).view(-1)[0] = float("nan")
    with pytest.raises(RunError, match=f"circuit 'mine': its {place} are not all finite"):
        Circuit(turned, 2, (2,), name="mine", **settings)(inputs, weights)


def one_number(inputs: Any, weights: Any) -> Any:
    qp.RX(inputs[..., 0], 0)
    qp.RY(weights["turn"], 0)
    qp.RX(weights["scale"] * inputs[..., 0], 0)
    return qp.expval(qp.Z(0))


@pytest.mark.parametrize("settings", [{"noise": NOISE}, {"shots": 1000}])
def test_weights_may_be_single_numbers(settings: dict[str, Any]) -> None:
    shapes: dict[str, tuple[int, ...]] = {"turn": (), "scale": ()}
    check_circuit(Circuit(one_number, 1, shapes))
    weights = {name: torch.tensor([0.3, 0.7]) for name in shapes}
    assert Circuit(one_number, 1, shapes, **settings)(torch.ones(2, 4, 1), weights).shape == (
        (2, 4, 1)
    )
