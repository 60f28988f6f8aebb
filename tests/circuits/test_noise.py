"""Noise equals PennyLane's default.mixed, exactly; beyond six qubits on average."""

from __future__ import annotations

import numpy as np
import pennylane as qp
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qmarl.circuits import Circuit, CircuitConfig, Program, build_circuit
from qmarl.circuits.ansatz import AnsatzConfig
from qmarl.circuits.encoding import EncodingConfig
from qmarl.circuits.gates import Angle, FixedGate, PauliWord, Projection, Rotation
from qmarl.circuits.noise import NoiseConfig, noisy_wires
from qmarl.circuits.noise_jumps import JumpTrajectories
from qmarl.circuits.noise_program import NoisyProgram
from qmarl.circuits.noise_trajectories import NoisyTrajectories
from qmarl.circuits.readout import ReadoutConfig
from qmarl.circuits.shots_program import under_noise

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
    theirs = torch.stack([torch.stack(row) for row in rows]) + 0 * (inputs.sum() + flat.sum())
    got = torch.autograd.grad((ours * probe).sum(), [inputs, flat])
    want = torch.autograd.grad((theirs * probe).sum(), [inputs, flat])
    pairs = [(ours.detach(), theirs.detach()), *zip(got, want, strict=True)]
    return [float((a - b).abs().max()) for a, b in pairs]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_built_in_circuits_equal_default_mixed(case):
    noise = NOISE.model_copy(update={"placement": case[-1]})
    assert max(compare(program_of(case), noise)) < 1e-10


@st.composite
def programs(draw) -> Program:
    """Random programs of 1 to 3 qubits with every kind of angle, axis and observable."""
    qubits = draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    gates = []
    for _ in range(draw(st.integers(1, 12))):
        if qubits > 1 and rng.random() < 0.35:
            wires = tuple(int(w) for w in rng.permutation(qubits)[:2])
            gates.append(FixedGate(wires, random_gate(rng)))
        else:
            axis = rng.normal(size=3) if rng.random() < 0.5 else np.eye(3)[rng.integers(3)]
            axis = tuple((axis / np.linalg.norm(axis)).tolist())
            angle = Angle(*rng.normal(size=2).tolist(), *rng.integers(-1, 3, 2).tolist())
            gates.append(Rotation(int(rng.integers(qubits)), axis, angle))
    word = PauliWord(float(rng.normal()), *rng.integers(0, 2**qubits, 2).tolist())
    mask = int(rng.integers(1, 2**qubits))
    outputs = ((word, PauliWord(0.7, 1, 1)), (Projection(mask, mask & 1),))
    return Program("random", qubits, 3, (("weights", (3,)),), tuple(gates), outputs)


def random_gate(rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.6:
        return np.eye(4)[[0, 1, 3, 2]].astype(complex)
    return np.linalg.qr(rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4)))[0]


def rates():
    return st.sampled_from([0.0, 0.02, 0.3, 0.75, 0.95])  # default.mixed adds 1e-14 under roots


@settings(max_examples=25, deadline=None)
@given(programs(), rates(), rates(), rates(), st.sampled_from([0.0, 0.1, 0.5]), st.booleans())
def test_random_programs_equal_default_mixed(program, depolarising, amplitude, phase, error, layer):
    noise = NoiseConfig(
        depolarising=depolarising,
        amplitude_damping=amplitude,
        phase_damping=phase,
        readout_error=error,
        placement="layer" if layer else "gate",
    )
    assert max(compare(program, noise, batch=1)) < 1e-10


def written_by_hand(inputs, weights, after) -> None:
    """Gates as a user of PennyLane writes them, with what follows each."""
    for wire in range(2):
        qp.RY(torch.arctan(weights["scale"][0] * inputs[..., wire]), wires=wire)
        after(wire)
    qp.CNOT([0, 1])
    after(0, 1)
    qp.RX(weights["angle"][0], wires=0)
    after(0)
    qp.PhaseShift(weights["angle"][1] * inputs[..., 0], wires=1)  # RZ is complex64 on that device
    after(1)


def ideal_function(inputs, weights):
    written_by_hand(inputs, weights, lambda *wires: None)
    return [qp.expval(qp.X(0) @ qp.Y(1)), qp.expval(qp.Z(1)), qp.probs(wires=[1])]


def on_mixed(inputs, weights):
    """The same on default.mixed with channels, and flips before the measurement of each basis."""

    def after(*wires):
        for wire in wires:
            channels(NOISE, wire)

    def flipped():
        for wire in range(2):
            qp.BitFlip(NOISE.readout_error, wire)

    @qp.qnode(qp.device("default.mixed", wires=2), interface="torch", diff_method="backprop")
    def in_x_and_y():
        written_by_hand(inputs, weights, after)
        qp.Hadamard(0)
        qp.adjoint(qp.S(1))
        qp.Hadamard(1)
        flipped()
        return qp.expval(qp.Z(0) @ qp.Z(1))

    @qp.qnode(qp.device("default.mixed", wires=2), interface="torch", diff_method="backprop")
    def in_z():
        written_by_hand(inputs, weights, after)
        flipped()
        return qp.expval(qp.Z(1)), qp.probs(wires=[1])

    return torch.cat([torch.as_tensor(part).reshape(-1) for part in (in_x_and_y(), *in_z())])


def test_a_function_with_channels_written_by_hand_gives_the_same():
    shapes = {"scale": (1,), "angle": (2,)}
    program = Circuit(ideal_function, 2, shapes).program
    assert program is not None
    rng = np.random.default_rng(3)
    inputs = torch.as_tensor(rng.normal(size=(1, 1, 2))).requires_grad_()
    weights = {
        name: torch.as_tensor(rng.normal(size=(1, *shape))).requires_grad_()
        for name, shape in shapes.items()
    }
    ours = NoisyProgram(program, NOISE).run(inputs, weights)[0, 0]
    theirs = on_mixed(inputs[0, 0], {name: part[0] for name, part in weights.items()})
    leaves, probe = [inputs, *weights.values()], torch.as_tensor(rng.normal(size=4))
    assert float((ours - theirs).detach().abs().max()) < 1e-10
    got, want = (torch.autograd.grad((out * probe).sum(), leaves) for out in (ours, theirs))
    assert max(float((a - b).abs().max()) for a, b in zip(got, want, strict=True)) < 1e-10


def one_qubit(noise: NoiseConfig) -> np.ndarray:
    """<X>, <Y>, <Z> of a turned qubit."""
    turn = Rotation(0, (0.0, 1.0, 0.0), Angle(1.0, 0.0, -1, 0))
    letters = tuple((PauliWord(1.0, *masks),) for masks in ((1, 0), (1, 1), (0, 1)))
    program = Program("turn", 1, 1, (("weights", (1,)),), (turn,), letters)
    bound = NoisyProgram(program, noise).bind({"weights": np.zeros(1)}, np.float64)
    return bound(np.array([[0.7]]))[0]


def test_channels_at_their_ends_do_what_their_names_say():
    sine, cosine = np.sin(0.7), np.cos(0.7)
    expected = {
        "amplitude_damping": [0, 0, 1],
        "phase_damping": [0, 0, cosine],
        "depolarising": [-sine / 3, 0, -cosine / 3],
    }
    for name, bloch in expected.items():
        got = one_qubit(NoiseConfig.model_validate({name: 1.0}))
        np.testing.assert_allclose(got, bloch, atol=1e-15)
    np.testing.assert_allclose(one_qubit(NoiseConfig(readout_error=0.5)), 0, atol=1e-15)
    np.testing.assert_allclose(one_qubit(NoiseConfig()), [sine, 0, cosine], atol=1e-15)


def large(qubits: int) -> Program:
    config = CircuitConfig(qubits=qubits, layers=1, readout=ReadoutConfig(kind="z_pairs"))
    program = build_circuit(config, qubits).program
    assert program is not None
    return program


def test_six_qubits_without_noise_equal_the_ideal_program_in_both_precisions():
    program = large(6)
    rng = np.random.default_rng(0)
    inputs, flat = rng.normal(size=(2, 9, 6)), rng.normal(size=(2, program.n_weights))
    weights = program.unflatten(flat)
    exact = program.bind(weights, np.float64)(inputs)
    noisy = NoisyProgram(program, NoiseConfig())
    np.testing.assert_allclose(noisy.bind(weights, np.float64)(inputs), exact, atol=1e-13)
    single = noisy.bind(weights, np.float32)(inputs)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, exact, atol=2e-6)


def test_agents_and_chunks_do_not_matter(monkeypatch):
    program = program_of(CASES[1])
    rng = np.random.default_rng(1)
    inputs = torch.as_tensor(rng.normal(size=(3, 7, 3)))
    weights = program.unflatten(torch.as_tensor(rng.normal(size=(3, program.n_weights))))
    noisy = NoisyProgram(program, NOISE)
    whole = noisy.run(inputs, weights)
    for agent in range(3):
        own = {name: part[agent : agent + 1] for name, part in weights.items()}
        np.testing.assert_allclose(noisy.run(inputs[agent : agent + 1], own)[0], whole[agent])
    leaves = [part.clone().requires_grad_() for part in weights.values()]
    named = dict(zip(weights, leaves, strict=True))
    want = torch.autograd.grad(noisy.run(inputs, named).square().sum(), leaves)
    monkeypatch.setattr("qmarl.circuits.noise_program.CHUNK", 1)
    got = torch.autograd.grad(noisy.run(inputs, named).square().sum(), leaves)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-13)


PAULI_NOISE = NoiseConfig(
    depolarising=0.05, phase_damping=0.1, readout_error=0.03, trajectories=4000
)


@pytest.mark.parametrize("case", [CASES[1], CASES[2]], ids=["layer", "gate"])
def test_trajectories_converge_to_the_exact_noise(case):
    program = program_of(case)
    noise = PAULI_NOISE.model_copy(update={"placement": case[-1]})
    rng = np.random.default_rng(2)
    inputs = torch.as_tensor(rng.normal(size=(1, 3, 3)))
    flat = torch.as_tensor(rng.normal(size=(1, program.n_weights))).requires_grad_()
    results = {}
    for runner in (NoisyProgram(program, noise), NoisyTrajectories(program, noise)):
        outputs = runner.run(inputs, program.unflatten(flat))
        [gradient] = torch.autograd.grad(outputs.sum() / outputs.numel(), [flat])
        weights = {name: part.numpy() for name, part in program.unflatten(flat.detach()).items()}
        acted = runner.bind(weights, np.float64)(inputs.numpy())
        np.testing.assert_allclose(acted, outputs.detach(), atol=1e-12)
        results[type(runner)] = outputs.detach(), gradient
    exact, sampled = results.values()
    ideal = torch.as_tensor(program.bind(weights, np.float64)(inputs.numpy()))
    assert float((exact[0] - ideal).abs().max()) > 0.05  # the noise is far above the tolerance
    error = 5 / np.sqrt(noise.trajectories) / 2  # the spread of one trajectory is below 1 / 2
    assert float((exact[0] - sampled[0]).abs().max()) < error
    assert float((exact[1] - sampled[1]).abs().max()) < error


@pytest.mark.parametrize(
    ("kind", "runs"), [("depolarising", NoisyTrajectories), ("amplitude_damping", JumpTrajectories)]
)
def test_seven_qubits_run_as_trajectories(kind, runs):
    program = large(7)
    runner = under_noise(program, NoiseConfig.model_validate({kind: 0.01, "trajectories": 3}))
    assert isinstance(runner, runs)
    weights = {"angles": np.zeros((2, *program.weights[0][1]))}
    outputs = runner.bind(weights)(np.ones((2, 4, 7)))
    assert outputs.shape == (2, 4, program.n_outputs)
    assert outputs.dtype == np.float32


def test_readout_error_alone_needs_no_trajectories():
    program, error = large(7), 0.1
    runner = under_noise(program, NoiseConfig(readout_error=error))
    weights = {"angles": np.random.default_rng(0).normal(size=program.weights[0][1])}
    ideal = program.bind(weights, np.float64)(np.ones((4, 7)))
    scale = np.where(np.arange(program.n_outputs) < 7, 1 - 2 * error, (1 - 2 * error) ** 2)
    got = runner.bind(weights, np.float64)(np.ones((4, 7)))
    np.testing.assert_allclose(got, ideal * scale, atol=1e-12)
