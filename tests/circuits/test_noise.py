"""Noise equals PennyLane's default.mixed, exactly; beyond six qubits on average."""

from __future__ import annotations

import numpy as np
import pennylane as qp
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qmarl.circuits import CircuitConfig, Program, build_circuit
from qmarl.circuits.ansatz import AnsatzConfig
from qmarl.circuits.encoding import EncodingConfig
from qmarl.circuits.noise import NoiseConfig, noisy_wires
from qmarl.circuits.noise_program import NoisyProgram
from qmarl.circuits.program import Angle, FixedGate, PauliWord, Projection, Rotation
from qmarl.circuits.readout import ReadoutConfig

NOISE = NoiseConfig(
    depolarising=0.03, amplitude_damping=0.05, phase_damping=0.04, readout_error=0.06
)
CASES = [
    # ansatz, readout, qubits, layers, rotations, inputs, reupload, scales, placement
    ("strongly_entangling", "z", 4, 2, "x", 4, False, False, "gate"),
    ("strongly_entangling", "z_pairs", 3, 2, "y", 3, True, True, "layer"),
    ("basic_entangler", "probabilities", 2, 2, "zx", 3, True, True, "gate"),
    ("hardware_efficient", "z_pairs", 4, 2, "xyz", 12, True, True, "layer"),
    ("hardware_efficient", "z", 5, 1, "xy", 7, False, False, "gate"),
]


def program_of(case) -> Program:
    ansatz, readout, qubits, layers, rotations, inputs, reupload, scales, _ = case
    config = CircuitConfig(
        qubits=qubits,
        layers=layers,
        reupload=reupload,
        encoding=EncodingConfig(rotations=rotations, scales=scales),
        ansatz=AnsatzConfig(kind=ansatz),
        readout=ReadoutConfig(kind=readout),
    )
    program = build_circuit(config, inputs).program
    assert program is not None
    return program


def channels(noise: NoiseConfig, wire: int) -> None:
    if noise.depolarising:
        qp.DepolarizingChannel(noise.depolarising, wire)
    if noise.amplitude_damping:
        qp.AmplitudeDamping(noise.amplitude_damping, wire)
    if noise.phase_damping:
        qp.PhaseDamping(noise.phase_damping, wire)


def mixed(program: Program, noise: NoiseConfig, inputs: torch.Tensor, flat: torch.Tensor):
    """The program on default.mixed for one sample, with channels inserted."""
    device = qp.device("default.mixed", wires=range(program.qubits))
    wires = noisy_wires(program.gates, program.qubits, noise)

    @qp.qnode(device, interface="torch", diff_method="backprop")
    def circuit():
        for gate, noisy in zip(program.gates, wires, strict=True):
            apply(gate, inputs, flat)
            for wire in noisy:
                channels(noise, wire)
        return qp.density_matrix(wires=range(program.qubits))

    state = circuit()
    return torch.stack([measured(o, state, program.qubits, noise) for o in program.outputs])


def apply(gate, inputs, flat) -> None:
    if isinstance(gate, FixedGate):
        qp.QubitUnitary(gate.matrix, wires=gate.wires)
        return
    angle = torch.as_tensor(gate.angle.offset, dtype=torch.float64)
    if gate.angle.weight >= 0 or gate.angle.feature >= 0:
        part = torch.as_tensor(gate.angle.factor, dtype=torch.float64)
        part = part * flat[gate.angle.weight] if gate.angle.weight >= 0 else part
        part = part * inputs[gate.angle.feature] if gate.angle.feature >= 0 else part
        angle = angle + part
    paulis = (qp.matrix(qp.X(0)), qp.matrix(qp.Y(0)), qp.matrix(qp.Z(0)))
    generator = torch.as_tensor(sum(e * p for e, p in zip(gate.axis, paulis, strict=True)))
    identity = torch.eye(2, dtype=torch.complex128)
    half = angle / 2
    qp.QubitUnitary(torch.cos(half) * identity - 1j * torch.sin(half) * generator, wires=gate.wire)


def measured(observable, state, qubits, noise):
    """Every letter is read through a bit that flips with the readout's error."""
    letters = {"X": qp.matrix(qp.X(0)), "Y": qp.matrix(qp.Y(0)), "Z": qp.matrix(qp.Z(0))}
    keep, total = 1 - 2 * noise.readout_error, np.zeros((2**qubits,) * 2, complex)
    for term in observable:
        matrix = np.eye(1)
        for bit in range(qubits - 1, -1, -1):
            if isinstance(term, Projection):
                sign = -1 if (term.bits >> bit) & 1 else 1
                asked = (term.mask >> bit) & 1
                part = (np.eye(2) + sign * keep * letters["Z"]) / 2 if asked else np.eye(2)
            else:
                flip, phase = (term.flips >> bit) & 1, (term.signs >> bit) & 1
                name = {(1, 0): "X", (1, 1): "Y", (0, 1): "Z"}.get((flip, phase))
                part = keep * letters[name] if name else np.eye(2)
            matrix = np.kron(matrix, part)
        total = total + (term.coefficient if isinstance(term, PauliWord) else 1) * matrix
    return torch.trace(torch.as_tensor(total) @ state).real


def compare(program: Program, noise: NoiseConfig, seed: int = 0, agents: int = 2, batch: int = 2):
    """Largest differences of values, input gradients and weight gradients."""
    rng = np.random.default_rng(seed)
    inputs = torch.as_tensor(rng.uniform(-3, 3, (agents, batch, program.n_inputs))).requires_grad_()
    flat = torch.as_tensor(rng.uniform(-3, 3, (agents, program.n_weights))).requires_grad_()
    probe = torch.as_tensor(rng.normal(size=(agents, batch, program.n_outputs)))
    weights = program.unflatten(flat)
    ours = NoisyProgram(program, noise).run(inputs, weights)
    rows = [[mixed(program, noise, x, w) for x in xs] for xs, w in zip(inputs, flat, strict=True)]
    theirs = torch.stack([torch.stack(row) for row in rows])
    got = torch.autograd.grad((ours * probe).sum(), [inputs, flat])
    want = torch.autograd.grad((theirs * probe).sum(), [inputs, flat], allow_unused=True)
    pairs = [(ours.detach(), theirs.detach())]
    pairs += [(a, torch.zeros_like(a) if b is None else b) for a, b in zip(got, want, strict=True)]
    return [float((a - b).abs().max()) for a, b in pairs]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_built_in_circuits_equal_default_mixed(case):
    noise = NOISE.model_copy(update={"placement": case[-1]})
    assert max(compare(program_of(case), noise)) < 1e-10
