"""Diagnostics against exact results: plateaus, Haar's measure, entanglement, Fisher information."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pennylane as qp
import pytest

from qmarl.circuits import Circuit, CircuitConfig, DeviceSettings, build_circuit
from qmarl.circuits.ansatz import AnsatzConfig
from qmarl.circuits.decay import fit_decay
from qmarl.circuits.diagnostics import (
    GradientScan,
    effective_dimension,
    entangling_capability,
    expressibility,
    fisher,
    gradient_variance,
)
from qmarl.circuits.diagnostics_draws import random_weights
from qmarl.circuits.diagnostics_states import divergence, fidelities, haar_histogram
from qmarl.circuits.encoding import EncodingConfig
from qmarl.circuits.readout import ReadoutConfig
from qmarl.errors import ConfigurationError
from qmarl.seeding import stream

Body = Callable[[Any], Any]


def circuit_of(body: Body, weights: int) -> Circuit:
    """A circuit whose input does nothing to the state |0>."""

    def function(inputs: Any, weights: Any) -> Any:
        qp.RZ(inputs[..., 0], wires=0)
        return body(weights)

    return Circuit(function, 1, (weights,))


def idle(weights: Any) -> Any:
    qp.RZ(weights[0], wires=0)
    return qp.expval(qp.Z(0))


def idle_on_two(weights: Any) -> Any:
    qp.RZ(weights[0], wires=0)
    qp.RZ(weights[1], wires=1)
    return qp.expval(qp.Z(0) @ qp.Z(1))


def equator(weights: Any) -> Any:
    """Circuit A of Sim et al. 2019, figure 1."""
    qp.Hadamard(0)
    qp.RZ(weights[0], wires=0)
    return qp.expval(qp.X(0))


def sphere(weights: Any) -> Any:
    """Circuit B of the same figure."""
    qp.Hadamard(0)
    qp.RZ(weights[0], wires=0)
    qp.RX(weights[1], wires=0)
    return qp.expval(qp.X(0))


def cluster(weights: Any) -> Any:
    """Circuit 9 of Sim et al. 2019, figure 2: a cluster state, turned qubit by qubit."""
    for wire in range(4):
        qp.Hadamard(wire)
    for wire in (2, 1, 0):
        qp.CZ([wire, wire + 1])
    for wire in range(4):
        qp.RX(weights[wire], wires=wire)
    return qp.expval(qp.Z(0))


def product(weights: Any) -> Any:
    for wire in range(3):
        qp.RX(weights[wire], wires=wire)
    return qp.expval(qp.Z(0))


def pair(weights: Any) -> Any:
    """cos(t/2) |00> - i sin(t/2) |11>, with entanglement sin(t)^2, 1/2 on average."""
    qp.RX(weights[0], wires=0)
    qp.CNOT([0, 1])
    return qp.expval(qp.Z(0))


def ansatz(kind: str, qubits: int = 4, layers: int = 2, rotations: str = "z") -> CircuitConfig:
    return CircuitConfig(
        qubits=qubits,
        layers=layers,
        encoding=EncodingConfig(rotations=rotations),
        ansatz=AnsatzConfig.model_validate({"kind": kind}),
    )


# Expressibility


@pytest.mark.parametrize(("body", "qubits"), [(idle, 1), (idle_on_two, 2)])
def test_a_circuit_that_does_nothing_is_as_far_from_haar_as_can_be(body: Body, qubits: int) -> None:
    found = expressibility(circuit_of(body, qubits), 50, 0)
    assert found.divergence == pytest.approx((2**qubits - 1) * math.log(75))  # 4.30 on one qubit


def test_states_on_the_equator_score_what_their_exact_distribution_does() -> None:
    # F = cos(d / 2)^2 with uniform d: the arcsine law. Sim et al. 2019, figure 1, find 0.22.
    edges = np.linspace(0, 1, 76)
    exact = np.diff(2 / np.pi * np.arcsin(np.sqrt(edges)))
    expected = divergence(exact, haar_histogram(75, 2))
    found = expressibility(circuit_of(equator, 1), 5000, 0)
    assert found.divergence == pytest.approx(expected + found.floor, abs=0.02)
    assert found.divergence == pytest.approx(0.22, abs=0.03)


def test_more_of_the_sphere_is_nearer_to_haar() -> None:
    found = expressibility(circuit_of(sphere, 2), 5000, 0)
    assert found.divergence == pytest.approx(0.02, abs=0.01)  # as in the same figure
    assert found.floor == pytest.approx(74 / (2 * 5000), rel=0.05)  # of (bins - 1) / (2 samples)


def test_fidelities_are_overlaps_of_states() -> None:
    circuit = build_circuit(ansatz("strongly_entangling", qubits=3, rotations="x"), 3)
    inputs = np.array([0.3, -1.0, 2.0])
    rng = stream(7, "expressibility")
    drawn = [random_weights(circuit, 4, rng)["angles"] for _ in range(2)]

    @qp.qnode(qp.device("default.qubit", wires=3))
    def state(angles: Any) -> Any:
        qp.AngleEmbedding(inputs, wires=range(3))
        qp.StronglyEntanglingLayers(angles, wires=range(3))
        return qp.state()

    pairs = zip(*drawn, strict=True)
    exact = [abs(np.vdot(state(left), state(right))) ** 2 for left, right in pairs]
    np.testing.assert_allclose(fidelities(circuit, 4, 7, inputs), exact, atol=1e-12)
    assert np.ptp(exact) > 0.01


def test_haar_shares_add_up_and_have_their_mean() -> None:
    for size in (2, 4, 16):
        shares = haar_histogram(20_000, size)
        middles = (np.arange(20_000) + 0.5) / 20_000
        assert shares.sum() == pytest.approx(1)
        assert shares @ middles == pytest.approx(1 / size, abs=1e-5)


# Entangling capability


@pytest.mark.parametrize(("body", "weights", "expected"), [(product, 3, 0.0), (cluster, 4, 1.0)])
def test_entanglement_where_it_is_known(body: Body, weights: int, expected: float) -> None:
    found = entangling_capability(circuit_of(body, weights), 20, 0)
    assert found.mean == pytest.approx(expected, abs=1e-12)
    assert found.error < 1e-12


def test_entanglement_of_a_turned_pair_averages_to_one_half() -> None:
    found = entangling_capability(circuit_of(pair, 1), 2000, 0)
    assert found.mean == pytest.approx(0.5, abs=4 * found.error)
    assert found.error == pytest.approx(math.sqrt(1 / 8 / 2000), rel=0.1)


def test_a_deep_circuit_has_the_entanglement_and_fidelities_of_haar() -> None:
    circuit = build_circuit(ansatz("strongly_entangling", layers=8), 4)
    entangled = entangling_capability(circuit, 1000, 0)
    assert entangled.haar == pytest.approx(14 / 17)
    assert entangled.mean == pytest.approx(entangled.haar, abs=4 * entangled.error)
    reached = expressibility(circuit, 2000, 0)
    assert reached.divergence == pytest.approx(reached.floor, rel=0.5)


def test_inputs_are_seen_and_a_device_agrees() -> None:
    circuit = build_circuit(ansatz("basic_entangler", qubits=2, layers=1), 2)
    device = circuit.on("pennylane:default.qubit")
    near = entangling_capability(circuit, 5, 3, inputs=np.array([0.3, -1.0]))
    assert entangling_capability(device, 5, 3, inputs=np.array([0.3, -1.0])).mean == pytest.approx(
        near.mean
    )
    with pytest.raises(ConfigurationError, match=r"inputs must be \(2,\), got \(3,\)"):
        entangling_capability(circuit, 5, 3, inputs=np.zeros(3))


# Gradients


def test_the_global_cost_of_turned_qubits_falls_as_it_must() -> None:
    # C = 1 - prod cos(t / 2)^2, so Var dC/dt = 1/8 (3/8)^(n - 1) (Cerezo et al. 2021): CNOTs leave
    # |0...0> as it is.
    scan = scan_of("basic_entangler", (1, 2, 3, 4), (1,), "global", samples=3000)
    for row in scan.rows:
        exact = (3 / 8) ** (row.qubits - 1) / 8
        assert row.mean == pytest.approx(exact, rel=0.15)
        assert row.first == pytest.approx(exact, rel=0.3)
        assert row.low < row.mean < row.high
    [decay] = scan.decays
    assert decay.low < math.log2(8 / 3) < decay.high


def test_deep_circuits_are_barren_and_identity_blocks_are_not() -> None:
    widths = (2, 3, 4, 5, 6)
    wild = scan_of("hardware_efficient", widths, (12,), samples=60)
    tame = scan_of("hardware_efficient", widths, (12,), samples=60, start="identity_block")
    assert "barren" in wild.decays[0].verdict
    assert wild.decays[0].rate > 1
    assert "barren" not in tame.decays[0].verdict
    assert tame.decays[0].exponential < 0.5
    assert tame.decays[0].high < wild.decays[0].low
    assert tame.decays[0].power == pytest.approx(2, abs=0.3)  # the mean over n qubits alone
    gain = [one.mean / other.mean for one, other in zip(tame.rows, wild.rows, strict=True)]
    assert gain[-1] > 2 * gain[0]


def scan_of(
    kind: str,
    qubits: tuple[int, ...],
    layers: tuple[int, ...],
    observable: Any = "local",
    *,
    samples: int,
    start: Any = "uniform",
) -> GradientScan:
    rotations = "z" if observable == "global" else "x"  # z leaves the state at a pole, where
    return gradient_variance(  # identity blocks have no slope
        ansatz(kind, rotations=rotations),
        qubits,
        layers,
        samples,
        0,
        observable,
        initialisation=start,
    )


def test_gradients_are_those_of_the_device() -> None:
    config = ansatz("strongly_entangling").model_copy(update={"reupload": True})
    fused = gradient_variance(config, [2], [2], 3, 5)
    device = gradient_variance(config, [2], [2], 3, 5, backend="pennylane:default.qubit")
    assert device.rows[0].mean == pytest.approx(fused.rows[0].mean, rel=1e-9)
    assert device.rows[0].first == pytest.approx(fused.rows[0].first, rel=1e-9)
    assert not fused.decays


def test_options_of_the_device_are_kept() -> None:
    config, coarse = ansatz("strongly_entangling"), DeviceSettings(options={"c_dtype": "complex64"})
    rows = [
        gradient_variance(config, [2], [1], 2, 5, backend="pennylane:lightning.qubit", device=d)
        for d in (None, coarse)
    ]
    exact, rounded = (scan.rows[0].mean for scan in rows)
    assert 0 < abs(exact - rounded) < 1e-6 * exact
    circuits = (build_circuit(config, 2, "pennylane:lightning.qubit", d) for d in (None, coarse))
    means = [entangling_capability(circuit, 5, 0).mean for circuit in circuits]
    assert 0 < abs(means[0] - means[1]) < 1e-5


def test_the_law_of_a_decay_is_told_apart() -> None:
    widths = range(2, 9)
    noise = 1 + 0.02 * np.random.default_rng(0).standard_normal((7, 500))
    exponential, power = ([f(n) for n in widths] for f in (lambda n: 2.0**-n, lambda n: n**-2.0))
    steep = fit_decay(1, list(widths), exponential, list(noise * np.array(exponential)[:, None]))
    slow = fit_decay(1, list(widths), power, list(noise * np.array(power)[:, None]))
    assert (steep.rate, steep.exponential) == (pytest.approx(1), 1)
    assert "a barren plateau" in steep.verdict
    assert (slow.power, slow.exponential) == (pytest.approx(2), 0)
    assert "falls like n^(-b), b = 2.00" in slow.verdict
    flat = fit_decay(1, list(widths), [0.1] * 7, list(0.1 * noise))
    assert flat.verdict.startswith("no exponential decay seen: a = ")
    none = fit_decay(1, list(widths), [0.0] * 7, list(0 * noise))
    assert none.verdict == "the gradient is zero at some width"


@pytest.mark.parametrize(
    ("qubits", "layers", "samples", "message"),
    [
        ([2], [1], 1, "samples: got 1, at least 2"),
        ([0], [1], 5, "qubits: got 0, allowed are 1 to 20"),
        ([21], [1], 5, "qubits: got 21, allowed are 1 to 20"),
        ([2], [0], 5, "layers: got 0, at least 1"),
    ],
)
def test_gradients_refuse_what_cannot_be(
    qubits: list[int], layers: list[int], samples: int, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        gradient_variance(ansatz("basic_entangler"), qubits, layers, samples, 0)


# Effective dimension


def turns(redundant: bool) -> Circuit:
    second = qp.RX if redundant else qp.RY

    def function(inputs: Any, weights: Any) -> Any:
        qp.RY(inputs[..., 0], wires=0)
        qp.RX(weights[0], wires=0)
        second(weights[1], wires=0)
        return qp.probs(wires=0)

    return Circuit(function, 1, (2,))


def test_a_redundant_parameter_adds_nothing() -> None:
    inputs = np.linspace(-1, 1, 20)[:, None]
    full, half = (
        effective_dimension(turns(redundant), inputs, 10**9, 30, 0, model="probabilities")
        for redundant in (False, True)
    )
    assert half.rank == 1
    assert half.value == pytest.approx(1, abs=0.1)
    assert 1.8 < full.value <= 2
    assert half.parameters == full.parameters == 2


def test_the_dimension_grows_with_the_data_and_stays_below_the_parameters() -> None:
    circuit = build_circuit(ansatz("hardware_efficient", 2, 2, "x"), 2)
    inputs = np.random.default_rng(0).uniform(-1, 1, (30, 2))
    found = [effective_dimension(circuit, inputs, n, 10, 0) for n in (10**6, 10**12, 10**30)]
    values = [one.value for one in found]
    assert values == sorted(values)
    assert 1 < values[0] < values[-1] < found[0].parameters
    assert 1 < found[0].rank < found[0].parameters
    assert found[0].normalised == found[0].value / found[0].parameters


@pytest.mark.parametrize("model", ["softmax", "probabilities"])
def test_fisher_is_the_curvature_of_the_likelihood(model: Any) -> None:
    readout = ReadoutConfig(kind="probabilities" if model == "probabilities" else "z")
    config = ansatz("strongly_entangling", qubits=2, layers=1)
    circuit = build_circuit(config.model_copy(update={"readout": readout}), 2)
    assert circuit.program is not None
    rng = np.random.default_rng(0)
    inputs, point = rng.uniform(-1, 1, (4, 2)), rng.uniform(-1, 1, 6)

    def likely(flat: Any) -> Any:
        bound = circuit.program.bind({"angles": flat.reshape(1, 2, 3)}, np.float64)  # type: ignore[union-attr] # looked at above
        found = bound(inputs)
        if model == "probabilities":
            return found
        return np.exp(found) / np.exp(found).sum(-1, keepdims=True)

    step = 1e-4 * np.eye(6)
    slopes = [(np.log(likely(point + d)) - np.log(likely(point - d))) / 2e-4 for d in step]
    expected = np.einsum("bk,pbk,qbk->pq", likely(point), slopes, slopes) / len(inputs)
    found = fisher(circuit, inputs, {"angles": point.reshape(1, 2, 3)}, model)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_dimension_refuses_what_it_cannot_define() -> None:
    circuit, inputs = turns(False), np.zeros((3, 1))
    for arguments, message in [
        ((inputs, 18, 5), "n_data: 18 data are too few"),
        ((np.zeros((3, 2)), 100, 5), r"inputs must be \(rows, 1\), got \(3, 2\)"),
        ((inputs, 100, 1), "samples: got 1"),
    ]:
        with pytest.raises(ConfigurationError, match=message):
            effective_dimension(circuit, *arguments, 0)
    with pytest.raises(ConfigurationError, match="at least 2 outputs, it has 1"):
        effective_dimension(circuit_of(idle, 1), inputs, 100, 5, 0)
    with pytest.raises(ConfigurationError, match="gamma: got 2"):
        effective_dimension(circuit, inputs, 100, 5, 0, gamma=2)


def test_states_refuse_measurements_in_the_middle() -> None:
    def function(inputs: Any, weights: Any) -> Any:
        qp.RX(inputs[..., 0], wires=0)
        qp.cond(qp.measure(0), qp.RX)(weights[0], wires=1)
        return qp.expval(qp.Z(1))

    circuit = Circuit(function, 1, (1,))
    for diagnostic in (expressibility, entangling_capability):
        with pytest.raises(ConfigurationError, match="reaches no pure state"):
            diagnostic(circuit, 5, 0)
        with pytest.raises(ConfigurationError, match="samples: got 1"):
            diagnostic(circuit, 1, 0)
