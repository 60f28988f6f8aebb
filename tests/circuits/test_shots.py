"""Shots give unbiased estimates; shifted circuits give the adjoint's gradients."""

from __future__ import annotations

import numpy as np
import pennylane as qp
import pytest
import torch

from qmarl.circuits import Circuit, CircuitConfig, Program, build_circuit
from qmarl.circuits.ansatz import AnsatzConfig
from qmarl.circuits.encoding import EncodingConfig
from qmarl.circuits.noise import SILENT, NoiseConfig
from qmarl.circuits.noise_program import NoisyProgram
from qmarl.circuits.readout import ReadoutConfig
from qmarl.circuits.shots import Sampling, SPSAConfig, measured_groups
from qmarl.circuits.shots_program import SampledProgram, make_runner
from qmarl.circuits.torch_function import run_program
from qmarl.errors import ConfigurationError

NOISE = NoiseConfig(depolarising=0.02, amplitude_damping=0.05, readout_error=0.04)
SHIFT = Sampling(gradient="parameter_shift")


def built_in(readout: str = "z_pairs") -> Program:
    config = CircuitConfig(
        qubits=3,
        layers=2,
        reupload=True,
        encoding=EncodingConfig(rotations="xy", scales=True),
        ansatz=AnsatzConfig(kind="hardware_efficient"),
        readout=ReadoutConfig(kind=readout),
    )
    program = build_circuit(config, 5).program
    assert program is not None
    return program


def tangled(inputs, weights):
    """Controlled rotations, a weight in several gates, functions, and words that do not commute."""
    qp.RX(torch.arctan(weights[0] * inputs[..., 0]), wires=0)
    qp.Hadamard(1)
    qp.CRY(weights[1], wires=[0, 1])
    qp.RZ(2 * weights[1] - weights[2] ** 2, wires=1)
    qp.CRX(inputs[..., 1] * weights[2], wires=[1, 2])
    qp.IsingXX(weights[1], wires=[0, 2])
    return [
        qp.expval(qp.X(0) @ qp.Y(1) + 0.5 * qp.Z(0) - 0.2 * qp.Identity(1)),
        qp.expval(qp.Y(2)),
        qp.probs(wires=[0, 2]),
    ]


def tangled_program() -> Program:
    program = Circuit(tangled, 2, (3,)).program
    assert program is not None
    return program


PROGRAMS = {"built_in": built_in, "tangled": tangled_program}


def arguments(program: Program, agents: int = 2, batch: int = 3):
    rng = np.random.default_rng(0)
    inputs = torch.as_tensor(rng.uniform(-2, 2, (agents, batch, program.n_inputs)))
    flat = torch.as_tensor(rng.uniform(-2, 2, (agents, program.n_weights)))
    probe = torch.as_tensor(rng.normal(size=(agents, batch, program.n_outputs)))
    return inputs.requires_grad_(), flat.requires_grad_(), probe


def gradients(outputs: torch.Tensor, probe: torch.Tensor, *leaves: torch.Tensor):
    return [outputs.detach(), *torch.autograd.grad((outputs * probe).sum(), leaves)]


def exact(program: Program, noise: NoiseConfig, inputs, flat) -> torch.Tensor:
    weights = program.unflatten(flat)
    if noise.silent:
        return run_program(program, inputs, weights)
    return NoisyProgram(program, noise).run(inputs, weights)


@pytest.mark.parametrize("noise", [SILENT, NOISE], ids=["ideal", "noisy"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_exact_shifts_equal_the_adjoint(name, noise):
    program = PROGRAMS[name]()
    inputs, flat, probe = arguments(program)
    shifted = SampledProgram(program, noise, SHIFT).run(inputs, program.unflatten(flat))
    ours = gradients(shifted, probe, inputs, flat)
    theirs = gradients(exact(program, noise, inputs, flat), probe, inputs, flat)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_weights_alone_have_the_same_gradient_in_small_blocks(monkeypatch):
    program = tangled_program()
    inputs, flat, probe = arguments(program)
    runner = SampledProgram(program, SILENT, SHIFT)
    _, _, want = gradients(runner.run(inputs, program.unflatten(flat)), probe, inputs, flat)
    monkeypatch.setattr("qmarl.circuits.shots_program.MEMORY", 1)
    fixed = inputs.detach()
    _, got = gradients(runner.run(fixed, program.unflatten(flat)), probe, flat)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-13)


def repeated(program: Program, sampling: Sampling, noise: NoiseConfig, count: int) -> np.ndarray:
    """Many independent estimates ``(count, outputs)``: equal samples of one batch."""
    inputs, flat, _ = arguments(program, 1, 1)
    weights = {k: v.detach().numpy() for k, v in program.unflatten(flat).items()}
    many = np.repeat(inputs.detach().numpy(), count, 1)
    return make_runner(program, noise, sampling).bind(weights, np.float64)(many)[0]


@pytest.mark.parametrize("noise", [SILENT, NOISE], ids=["ideal", "noisy"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_estimates_are_unbiased_and_their_variance_falls_as_shots_grow(name, noise):
    program = PROGRAMS[name]()
    inputs, flat, _ = arguments(program, 1, 1)
    truth = exact(program, noise, inputs, flat).detach().numpy()[0, 0]
    spread = {}
    for shots in (25, 400):
        drawn = repeated(program, Sampling(shots, "parameter_shift"), noise, 2000)
        error = drawn.std(0) / np.sqrt(len(drawn))
        assert (np.abs(drawn.mean(0) - truth) <= 5 * error + 1e-12).all()
        spread[shots] = drawn.var(0)
    busy = spread[400] > 1e-9
    assert busy.any()
    np.testing.assert_allclose(spread[25][busy] / spread[400][busy], 16, rtol=0.25)


def test_the_variance_of_one_word_is_that_of_a_coin():
    drawn = repeated(built_in("z"), Sampling(100, "parameter_shift"), SILENT, 4000)
    expected = (1 - drawn.mean(0) ** 2) / 100
    np.testing.assert_allclose(drawn.var(0), expected, rtol=0.15)


@pytest.mark.parametrize(
    ("sampling", "tolerance"),
    [
        (Sampling(100, "parameter_shift"), 0.0),
        (Sampling(100, "spsa", SPSAConfig(step=0.05, draws=2)), 0.005),  # of order step**2
        (Sampling(None, "spsa", SPSAConfig(step=0.01, draws=2)), 0.0005),
    ],
    ids=["shift", "spsa", "spsa-exact"],
)
def test_estimated_gradients_are_unbiased(sampling, tolerance):
    program = tangled_program()
    inputs, flat, probe = arguments(program, 1, 1)
    _, *want = gradients(exact(program, SILENT, inputs, flat), probe, inputs, flat)
    count = 1500
    many = [part.detach().repeat(count, *[1] * (part.ndim - 1)) for part in (inputs, flat, probe)]
    leaves = [part.requires_grad_() for part in many[:2]]
    runner = SampledProgram(program, SILENT, sampling)
    _, *drawn = gradients(runner.run(leaves[0], program.unflatten(leaves[1])), many[2], *leaves)
    for got, mean in zip(drawn, want, strict=True):
        error = got.std(0) / np.sqrt(count)
        assert ((got.mean(0) - mean[0]).abs() <= 5 * error + tolerance).all()
        assert float(error.max()) > 0


def test_words_that_commute_qubit_by_qubit_share_their_shots():
    assert len(measured_groups(built_in("z_pairs"))) == 1
    assert len(measured_groups(built_in("probabilities"))) == 1
    assert [len(group.basis) for group in measured_groups(tangled_program())] == [3, 0]


def test_a_call_is_a_pure_function_of_parameters_and_inputs():
    program = built_in("z")
    runner = make_runner(program, SILENT, Sampling(10, "parameter_shift"))
    inputs, flat, _ = arguments(program)
    weights = {k: v.detach().numpy() for k, v in program.unflatten(flat).items()}
    seen = inputs.detach().numpy()
    once, again = (runner.bind(weights, np.float32)(seen) for _ in range(2))
    assert (once == again).all()
    assert once.dtype == np.float32
    assert (runner.bind(weights, np.float32)(seen + 1e-6) != once).any()
    same = np.repeat(seen[:, :1], 50, 1)
    assert runner.bind(weights)(same).std() > 0  # equal samples have their own shots


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigurationError, match=r"actor.shots: at least 1 is allowed, got 0"):
        Sampling(0, "parameter_shift")
    with pytest.raises(ConfigurationError, match="needs the exact state"):
        Sampling(10, "adjoint")
    config = CircuitConfig(qubits=13, layers=1, readout=ReadoutConfig(kind="z_pairs"))
    program = build_circuit(config, 13).program
    assert program is not None
    with pytest.raises(ConfigurationError, match="measures 13 qubits together; at most 12"):
        make_runner(program, SILENT, Sampling(10, "parameter_shift"))
