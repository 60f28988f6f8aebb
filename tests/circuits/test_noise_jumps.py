"""Quantum jumps: on average what the exact noise gives, in values and gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from qmarl.circuits import CircuitConfig, NoiseConfig, Program, Sampling, build_circuit
from qmarl.circuits.gates import Angle, FixedGate, PauliWord, Projection, Rotation
from qmarl.circuits.noise_jumps import JumpTrajectories
from qmarl.circuits.noise_program import NoisyProgram

CNOT = np.eye(4)[[0, 1, 3, 2]].astype(complex)
DENSE = np.kron([[1, 1], [1, -1]], [[1, 1j], [1j, 1]]) / 2 + 0j


def program() -> Program:
    """Three qubits with every kind of angle, gate and observable."""
    across = (math.sqrt(0.5), 0.5, -0.5)
    gates = (
        Rotation(0, (0.0, 1.0, 0.0), Angle(1.0, 0.2, -1, 0)),
        Rotation(1, (1.0, 0.0, 0.0), Angle(1.0, 0.0, 0)),
        FixedGate((0, 1), CNOT),
        FixedGate((2, 0), DENSE),
        Rotation(2, across, Angle(0.7, 0.3, 1, 1)),
        Rotation(0, (0.0, 0.0, 1.0), Angle(0.0, 0.4)),
        Rotation(1, across, Angle(1.3, 0.0, 2)),
        FixedGate((1, 2), CNOT),
    )
    outputs = (
        (PauliWord(1.0, 0, 0b100),),
        (PauliWord(0.8, 0b011, 0b010), PauliWord(-0.5, 0b100, 0b100)),
        (Projection(0b011, 0b001),),
    )
    return Program("mixed", 3, 2, (("weights", (3,)),), gates, outputs)


def draw() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(5)
    inputs = torch.as_tensor(rng.normal(size=(2, 3, 2))).requires_grad_()
    return inputs, torch.as_tensor(rng.normal(size=(2, 3))).requires_grad_()


def results(runner: JumpTrajectories | NoisyProgram) -> list[torch.Tensor]:
    """Values, and gradients of one sum of squares, whose slopes are the exact values' own."""
    inputs, flat = draw()
    outputs = runner.run(inputs, {"weights": flat})
    exact = NoisyProgram(runner.program, runner.noise).run(inputs, {"weights": flat}).detach()
    return [outputs.detach(), *torch.autograd.grad((outputs * exact).mean(), [inputs, flat])]


NOISES = {
    "damping": {"amplitude_damping": 0.3},
    "layers": {"amplitude_damping": 0.2, "placement": "layer"},
    "all": {
        "amplitude_damping": 0.15,
        "depolarising": 0.1,
        "phase_damping": 0.2,
        "readout_error": 0.05,
    },
}


@pytest.mark.parametrize("name", NOISES)
def test_trajectories_average_to_the_exact_noise(name: str) -> None:
    many = 20_000
    noise = NoiseConfig.model_validate({**NOISES[name], "trajectories": many})
    exact, drawn = (
        results(NoisyProgram(program(), noise)),
        results(JumpTrajectories(program(), noise)),
    )
    few = results(JumpTrajectories(program(), noise.model_copy(update={"trajectories": 20})))
    for one, other, rough in zip(exact, drawn, few, strict=True):
        error = float((one - other).abs().max())
        assert error < 5 / math.sqrt(many)  # the spread of a trajectory is below 1
        assert error < float((one - rough).abs().max()) / 4  # it should be 32 times smaller


def test_gradients_are_unbiased_call_by_call() -> None:
    """The mean over many calls of few trajectories; shifted inputs draw other jumps."""
    noise = NoiseConfig(amplitude_damping=0.3, trajectories=2)
    inputs, flat = (tensor.detach() for tensor in draw())
    many, calls = 6000, torch.arange(6000, dtype=torch.float64)[:, None, None]
    samples = (inputs[:1, :1] + 1e-9 * calls).requires_grad_()
    weights = flat[:1].repeat(many, 1).requires_grad_()
    outputs = JumpTrajectories(program(), noise).run(samples, {"weights": weights})
    drawn = torch.autograd.grad(outputs.sum(), [samples, weights])
    one, leaf = inputs[:1, :1].clone().requires_grad_(), flat[:1].clone().requires_grad_()
    exact = NoisyProgram(program(), noise).run(one, {"weights": leaf})
    for got, want in zip(drawn, torch.autograd.grad(exact.sum(), [one, leaf]), strict=True):
        spread = got.std(0) / math.sqrt(many)
        assert float(((got.mean(0) - want[0]).abs() / spread).max()) < 4.5


def test_without_jumps_it_is_the_ideal_program() -> None:
    noise = NoiseConfig(amplitude_damping=1e-30, trajectories=2)
    ideal = results(NoisyProgram(program(), NoiseConfig()))
    for one, other in zip(ideal, results(JumpTrajectories(program(), noise)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)


def test_full_damping_ends_in_the_ground_state() -> None:
    noise = NoiseConfig(amplitude_damping=1.0, readout_error=0.1, trajectories=3)
    exact, drawn = (
        kind(program(), noise).run(draw()[0], {"weights": draw()[1]}).detach()
        for kind in (NoisyProgram, JumpTrajectories)
    )
    torch.testing.assert_close(drawn, exact, rtol=0, atol=1e-13)


def test_chunks_and_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = NoiseConfig(amplitude_damping=0.2, trajectories=500)
    runner, exact = JumpTrajectories(program(), noise), NoisyProgram(program(), noise)
    monkeypatch.setattr("qmarl.circuits.noise_jumps.CHUNK", 1)
    inputs, flat = draw()
    weights = {"weights": flat.detach().float().numpy()}
    single = runner.bind(weights, np.float32)(inputs.detach().float().numpy())
    assert single.dtype == np.float32
    assert np.abs(single - exact.bind(weights, np.float64)(inputs.detach().numpy())).max() < 0.2
    for one, other in zip(results(runner), results(exact), strict=True):
        assert float((one - other).abs().max()) < 0.2


def test_the_same_call_gives_the_same_numbers() -> None:
    runner = JumpTrajectories(program(), NoiseConfig(amplitude_damping=0.2, trajectories=3))
    for one, other in zip(results(runner), results(runner), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("shots", [None, 50, Sampling(gradient="parameter_shift")])
def test_eight_damped_qubits_through_the_front_door(shots: Sampling | int | None) -> None:
    noise = NoiseConfig(amplitude_damping=0.05, trajectories=2)
    circuit = build_circuit(CircuitConfig(qubits=8, layers=1), 8, noise=noise, shots=shots)
    angles = torch.full((2, 1, 8, 3), 0.3, requires_grad=True)
    outputs = circuit(torch.ones(2, 3, 8), {"angles": angles})
    assert outputs.shape == (2, 3, 8)
    [gradient] = torch.autograd.grad(outputs.sum(), [angles])
    assert float(gradient.abs().max()) > 0
