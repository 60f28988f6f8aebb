"""The ledger counts what runs on a device, and the estimate knows it beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pennylane as qp
import pytest
import torch

from qmarl.circuits import Circuit, CircuitConfig, build_circuit
from qmarl.circuits.ledger import Counts, estimate, parameter_shifts
from qmarl.circuits.plugins import DeviceSettings
from qmarl.errors import ConfigurationError

SHIFT = DeviceSettings(gradient="parameter_shift")
QUBITS, LAYERS, INPUTS = 3, 2, 4


def config(**changes: Any) -> CircuitConfig:
    parts = {"encoding": {"rotations": "xy"}, "qubits": QUBITS, "layers": LAYERS, **changes}
    return CircuitConfig.model_validate(parts)


def spent(circuit: Circuit, agents: int = 1, batch: int = 2, learns: bool = True) -> Counts:
    """What one batch adds to the ledger."""
    rng = np.random.default_rng(0)
    inputs = torch.as_tensor(rng.uniform(-1, 1, (agents, batch, circuit.n_inputs)))
    weights = {
        name: torch.as_tensor(rng.uniform(-2, 2, (agents, *spec.shape))).requires_grad_(learns)
        for name, spec in circuit.layout.items()
    }
    before = circuit.ledger.snapshot()
    outputs = circuit(inputs, weights if circuit.named else weights["weights"])
    if learns:
        outputs.square().sum().backward()
    return circuit.ledger.snapshot().since(before)


@pytest.mark.parametrize("shots", [None, 7])
@pytest.mark.parametrize(
    ("changes", "shifts"),
    [
        # two shifts for each of three angles a qubit and layer; data are not shifted
        ({"ansatz": {"kind": "strongly_entangling"}}, 2 * 3 * QUBITS * LAYERS),
        ({"ansatz": {"kind": "basic_entangler"}}, 2 * QUBITS * LAYERS),
        # two columns of RY, RZ before and between, one after; trainable scales shift data, too
        (
            {
                "ansatz": {"kind": "strongly_entangling"},
                "encoding": {"rotations": "xy", "scales": True},
                "reupload": True,
            },
            2 * (3 * QUBITS + INPUTS) * LAYERS,
        ),
    ],
)
def test_the_estimate_is_what_is_counted(
    changes: dict[str, Any], shifts: int, shots: int | None
) -> None:
    options = {} if shots is None else {"shots": shots}
    device = DeviceSettings(options=options, gradient="parameter_shift")
    circuit = build_circuit(config(**changes), INPUTS, "pennylane:default.qubit", device)
    counts = spent(circuit, agents=2, batch=3)
    assert counts == estimate(circuit, 6, shots)
    assert counts.executions == 6 * (1 + shifts)
    assert counts.shifted == 6 * shifts
    assert counts.shots == counts.executions * (shots or 0)
    assert circuit.describe().circuits == {"forward": 1, "parameter_shift": shifts}


def test_acting_costs_one_circuit_a_sample() -> None:
    circuit = build_circuit(config(), INPUTS, "pennylane:default.qubit", SHIFT)
    counts = spent(circuit, agents=2, batch=5, learns=False)
    assert counts == estimate(circuit, 10, gradient="none") == Counts(jobs=1, executions=10)


def two_bases(inputs: Any, weights: Any) -> Any:
    qp.RX(inputs[..., 0], 0)
    qp.CRY(weights[0], [0, 1])
    qp.IsingXX(weights[1], [0, 1])
    qp.RZ(weights[2], 2)  # never measured: PennyLane does not shift it
    return qp.expval(qp.Z(0)), qp.expval(qp.X(0) @ qp.X(1)), qp.probs(wires=[1])


def test_observables_that_do_not_commute_are_measured_apart() -> None:
    circuit = Circuit(two_bases, 1, (3,), backend="pennylane:default.qubit", device=SHIFT)
    assert parameter_shifts(circuit) == 4 + 2 + 0
    counts = spent(circuit, batch=3)
    assert counts == estimate(circuit, 3)
    assert counts.executions == 3 * 2 * (1 + 6)


def uncertain(inputs: Any, weights: Any) -> Any:
    qp.RX(inputs[..., 0], 0)
    qp.RY(weights[0], 0)
    return qp.var(qp.Z(0))


def test_variances_shift_by_their_own_rule() -> None:
    circuit = Circuit(uncertain, 1, (1,), backend="pennylane:default.qubit", device=SHIFT)
    assert spent(circuit) == estimate(circuit, 2)


def two_words(inputs: Any, weights: Any) -> Any:
    qp.RX(inputs[..., 0], 0)
    qp.RY(weights[0], 1)
    return qp.expval(qp.Z(0)), qp.expval(qp.X(0) @ qp.X(1)), qp.expval(qp.X(1))


def test_pennylane_counts_the_same() -> None:
    device = DeviceSettings(options={"shots": 11}, gradient="parameter_shift")
    circuit = Circuit(two_words, 1, (1,), backend="pennylane:lightning.qubit", device=device)
    assert circuit._path.device is not None
    inner = circuit._path.device._device._device
    with qp.Tracker(inner) as tracker:
        counts = spent(circuit, batch=3)
    assert counts.executions == tracker.totals["executions"]
    assert counts.shots == tracker.totals["shots"]
    assert counts.jobs == tracker.totals["batches"]


def test_adjoint_gradients_are_the_simulators_own() -> None:
    circuit = build_circuit(config(), INPUTS, "pennylane:lightning.qubit")
    counts = spent(circuit, agents=2, batch=3)
    assert counts == Counts(jobs=1, executions=6, derivatives=6)
    assert spent(circuit, learns=False).derivatives == 0  # acting pays for no gradient


def test_backpropagation_runs_no_further_circuit() -> None:
    circuit = build_circuit(config(), INPUTS, "pennylane:default.qubit")
    assert circuit.ledger.snapshot() == Counts()  # the trials while it was made cost nothing
    counts = spent(circuit, agents=2, batch=3)
    assert (counts.executions, counts.shifted) == (6, 0)


def test_a_program_costs_nothing_and_is_estimated_all_the_same() -> None:
    fused = build_circuit(config(), INPUTS)
    assert spent(fused) == Counts()
    assert estimate(fused, 5, 100) == estimate(
        build_circuit(config(), INPUTS, "pennylane:default.qubit"), 5, 100
    )
    assert fused.describe().circuits["parameter_shift"] == 36


def resets(inputs: Any, weights: Any) -> Any:
    qp.RX(inputs[..., 0], 0)
    qp.AmplitudeDamping(torch.sin(weights[0]) ** 2, 0)
    return qp.expval(qp.Z(0))


def test_a_circuit_without_a_shift_rule_says_so() -> None:
    circuit = Circuit(resets, 1, (1,), name="mine", backend="pennylane:default.mixed")
    with pytest.raises(ConfigurationError, match=r"'mine': it has no parameter-shift gradient: "):
        estimate(circuit, 1)
    assert circuit.describe().circuits == {"forward": 1}


@pytest.mark.parametrize(
    ("samples", "shots", "words"),
    [(0, None, "samples must be at least 1, got 0"), (1, 0, "shots must be at least 1, got 0")],
)
def test_estimates_of_nothing_are_refused(samples: int, shots: int | None, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        estimate(build_circuit(config(), INPUTS), samples, shots)
