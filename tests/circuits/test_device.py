"""Circuits on PennyLane devices: the program's numbers, options, retries and clear refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pennylane as qp
import pytest
import torch

from qmarl.circuits import Circuit, CircuitConfig, build_circuit
from qmarl.circuits.plugins import DeviceSettings
from qmarl.errors import ConfigurationError, RunError

CONFIG = CircuitConfig(
    qubits=2,
    layers=2,
    reupload=True,
    encoding={"rotations": "xyz", "scales": True},
    ansatz={"kind": "strongly_entangling"},
    readout={"kind": "z_pairs"},
)
SMALL = CircuitConfig(qubits=2, layers=1, encoding={"rotations": "xyz"}, readout={"kind": "z"})
AGENTS, BATCH, INPUTS = 2, 3, 5


def on(device: str, config: CircuitConfig = CONFIG, **settings: Any) -> Circuit:
    return build_circuit(config, INPUTS, f"pennylane:{device}", DeviceSettings(**settings))


def arguments(circuit: Circuit) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
    rng = np.random.default_rng(3)
    inputs = torch.as_tensor(rng.uniform(-1, 1, (AGENTS, BATCH, INPUTS))).requires_grad_()
    weights = {
        name: torch.as_tensor(rng.uniform(-2, 2, (AGENTS, *spec.shape))).requires_grad_()
        for name, spec in circuit.layout.items()
    }
    return inputs, weights, torch.as_tensor(rng.normal(size=(AGENTS, BATCH, circuit.n_outputs)))


def evaluated(circuit: Circuit) -> list[torch.Tensor]:
    """Outputs, and gradients with respect to inputs and weights."""
    inputs, weights, probe = arguments(circuit)
    outputs = circuit(inputs, weights)
    gradients = torch.autograd.grad((outputs * probe).mean(), [inputs, *weights.values()])
    return [outputs.detach(), *gradients]


def worst(left: list[torch.Tensor], right: list[torch.Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(left, right, strict=True))


@pytest.fixture(scope="module")
def exact() -> list[torch.Tensor]:
    return evaluated(build_circuit(CONFIG, INPUTS))


@pytest.mark.parametrize(
    ("device", "wanted", "used"),
    [
        ("default.qubit", "best", "backprop"),
        ("default.qubit", "adjoint", "adjoint"),
        ("default.qubit", "parameter_shift", "parameter_shift"),
        ("default.mixed", "best", "backprop"),
        ("lightning.qubit", "best", "adjoint"),
        ("lightning.qubit", "parameter_shift", "parameter_shift"),
        ("reference.qubit", "best", "parameter_shift"),
    ],
)
def test_every_way_to_gradients_gives_those_of_the_program(
    device: str, wanted: Any, used: str, exact: list[torch.Tensor]
) -> None:
    circuit = on(device, gradient=wanted)
    assert circuit.reason == f"chosen by the backend; gradients by {used.replace('_', ' ')}"
    assert worst(evaluated(circuit), exact) < 1e-10


@pytest.mark.parametrize("device", ["default.qubit", "lightning.qubit"])
def test_probabilities_on_devices(device: str) -> None:
    config = CircuitConfig.model_validate(
        {**SMALL.model_dump(), "readout": {"kind": "probabilities"}}
    )
    program = build_circuit(config, INPUTS)
    assert worst(evaluated(on(device, config)), evaluated(program)) < 1e-10


@pytest.mark.parametrize("device", ["default.qubit", "lightning.qubit", "default.mixed"])
def test_shots_give_estimates_of_values_and_gradients(device: str) -> None:
    exact = evaluated(build_circuit(SMALL, INPUTS))
    circuit = on(device, SMALL, options={"shots": 4000, "seed": 7})
    assert circuit.describe().shots == 4000
    assert circuit.reason == "chosen by the backend; gradients by parameter shift"
    found = evaluated(circuit)
    # six standard deviations of a value, and far more than that of the mean's gradients
    assert 0 < float((found[0] - exact[0]).abs().max()) < 6 / 4000**0.5
    assert 0 < worst(found[1:], exact[1:]) < 3 / 4000**0.5
    again = evaluated(on(device, SMALL, options={"shots": 4000, "seed": 7}))
    assert worst(found, again) == 0


def test_more_shots_are_closer() -> None:
    inputs, weights, _ = arguments(program := build_circuit(SMALL, INPUTS))
    errors = []
    with torch.no_grad():
        for shots in (50, 5000):
            circuit = on("default.qubit", SMALL, options={"shots": shots, "seed": 1})
            errors.append(float((circuit(inputs, weights) - program(inputs, weights)).norm()))
    assert errors[1] < errors[0] / 4


def test_a_devices_number_type_is_an_option(exact: list[torch.Tensor]) -> None:
    single = evaluated(on("lightning.qubit", options={"c_dtype": "complex64"}))
    assert 1e-9 < worst(single, exact) < 1e-5
    assert all(tensor.dtype == torch.float64 for tensor in single)


def per_sample_only(inputs: Any, weights: Any) -> Any:
    for wire, angle in enumerate(inputs):
        qp.RX(angle, wire)
    qp.CNOT([0, 1])
    qp.RY(weights[0], 1)
    return qp.expval(qp.Z(1))


def test_functions_that_know_only_one_sample_run_as_a_list() -> None:
    circuit = Circuit(per_sample_only, 2, (1,), backend="pennylane:default.qubit")
    inputs, weights = torch.rand(5, 2, dtype=torch.float64), torch.rand(1, dtype=torch.float64)
    program = circuit.on("program")
    torch.testing.assert_close(circuit(inputs, weights), program(inputs, weights))
    assert circuit.ledger.snapshot().jobs == 1


def conditional(inputs: Any, weights: Any) -> Any:
    qp.RX(inputs[..., 0], 0)
    if inputs[..., 0] > 0:
        qp.RY(weights[0], 0)
    return qp.expval(qp.Z(0)), qp.probs(wires=[0])


def test_structure_may_depend_on_the_sample() -> None:
    circuit = Circuit(conditional, 1, (1,), backend="pennylane:default.qubit")
    angle = torch.tensor([0.7], dtype=torch.float64)
    outputs = circuit(torch.tensor([[0.4], [-0.4]], dtype=torch.float64), angle)
    z = torch.tensor([np.cos(0.4) * np.cos(0.7), np.cos(0.4)])
    torch.testing.assert_close(outputs, torch.stack([z, (1 + z) / 2, (1 - z) / 2], -1))


class Flaky(qp.devices.Device):
    """A device in another city: ``fails`` of its calls are lost, then it answers."""

    def __init__(self, wires: Any = None, fails: int = 2, error: str = "ConnectionError") -> None:
        super().__init__(wires=wires)
        self.inner = qp.device("default.qubit", wires=wires)
        self.fails, self.calls = fails, 0
        self.error = {
            "ConnectionError": ConnectionError("the line is dead"),
            "TimeoutError": TimeoutError("no answer"),
            "OSError": OSError("host unreachable"),
            "RuntimeError": RuntimeError("a defect"),
        }[error]

    @property
    def name(self) -> str:
        return "flaky.qubit"

    def preprocess_transforms(self, execution_config: Any = None) -> Any:
        return self.inner.preprocess_transforms(execution_config)

    def execute(self, circuits: Any, execution_config: Any = None) -> Any:
        self.calls += 1
        if self.calls <= self.fails:
            raise self.error
        return self.inner.execute(circuits, execution_config)


class Plugin:
    """What an installed package would register."""

    def __init__(self, constructor: Callable[..., Any]) -> None:
        self.load = lambda: constructor


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(qp.plugin_devices, "flaky.qubit", Plugin(Flaky))
    return "flaky.qubit"


@pytest.mark.parametrize("error", ["ConnectionError", "TimeoutError", "OSError"])
def test_a_device_that_does_not_answer_is_asked_again(
    flaky: str, error: str, exact: list[torch.Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    circuit = on(flaky, options={"error": error}, pause=0.0)
    assert worst(evaluated(circuit), exact) < 1e-10
    counts = circuit.ledger.snapshot()
    assert (counts.retries, counts.jobs) == (2, 2)  # a lost call is no job
    assert caplog.text.count("device 'flaky.qubit' failed, next attempt in") == 2


def test_pauses_grow(flaky: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("qmarl.circuits.counted_device.time.sleep", pauses.append)
    evaluated(on(flaky, options={"fails": 3}))
    assert pauses == [1, 2, 4]


@pytest.mark.parametrize(("retries", "attempts"), [(0, 1), (1, 2)])
def test_a_device_that_never_answers_ends_the_run(flaky: str, retries: int, attempts: int) -> None:
    circuit = on(flaky, retries=retries, pause=0.0)
    words = rf"'flaky.qubit' failed in {attempts} attempts?, at last with ConnectionError: the line"
    with pytest.raises(RunError, match=words):
        evaluated(circuit)
    assert circuit.ledger.snapshot().executions == 0


def test_defects_are_not_repeated(flaky: str) -> None:
    circuit = on(flaky, options={"error": "RuntimeError"}, pause=0.0)
    with pytest.raises(RuntimeError, match="a defect"):
        evaluated(circuit)
    assert circuit.ledger.snapshot().retries == 0


def test_making_a_circuit_runs_nothing_on_its_device(flaky: str) -> None:
    assert on(flaky, options={"fails": 1000}).ledger.snapshot().jobs == 0


@pytest.mark.parametrize(
    ("device", "options", "words"),
    [
        ("qiskit.remote", {}, "no device 'qiskit.remote' here; the package 'pennylane-qiskit' us"),
        ("braket.aws.qubit", {}, "'amazon-braket-pennylane-plugin' usually provides it; inst"),
        ("cirq.simulator", {}, "the package 'pennylane-cirq' usually provides it"),
        ("lightning.gpu", {}, "the package 'pennylane-lightning-gpu' usually provides it"),
        ("lightning.qubits", {}, "(did you mean 'lightning.qubit'?); the package"),
        ("default.qubit", {"sede": 1}, "has no option 'sede' (did you mean 'seed'?); it takes"),
        ("lightning.qubit", {"zzz": 1}, "'lightning.qubit' has no option 'zzz'; it takes batch"),
        ("lightning.qubit", {"c_dtype": "float"}, "one of complex64, complex128, got 'float'"),
        ("default.qubit", {"seed": "now"}, "the device 'default.qubit' refuses {'seed': 'now'}: "),
        ("default.qubit", {"shots": 0}, "'shots' must be a whole number of at least 1, got 0"),
        ("default.qubit", {"shots": True}, "'shots' must be a whole number of at least 1, got T"),
        ("default.qubit", {"wires": 3}, "'wires' follow from the circuit"),
    ],
)
def test_devices_and_options_that_do_not_exist(
    device: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"actor\.(backend|device_options): ") as error:
        on(device, options=options)
    assert words in str(error.value)


def test_a_device_that_cannot_be_loaded_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def incomplete(wires: Any = None) -> Any:
        raise ImportError("it needs a simulator")

    monkeypatch.setitem(qp.plugin_devices, "partly.installed", Plugin(incomplete))
    with pytest.raises(ConfigurationError, match=r"'partly.installed' cannot be loaded: it needs"):
        on("partly.installed")


@pytest.mark.parametrize(
    ("device", "settings", "words"),
    [
        ("lightning.qubit", {"gradient": "backprop"}, "no gradients by 'backprop' for it"),
        (
            "default.qubit",
            {"gradient": "adjoint", "options": {"shots": 10}},
            "no gradients by 'adjoint' with 10 shots",
        ),
    ],
)
def test_gradients_that_a_device_does_not_have(
    device: str, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        on(device, **settings)


@pytest.mark.parametrize(
    ("measurement", "words"),
    [
        (lambda: qp.state(), "it returns a state"),
        (lambda: qp.counts(wires=[0]), "must return expectation values or probabilities: "),
    ],
)
def test_what_cannot_be_an_output(measurement: Callable[[], Any], words: str) -> None:
    def function(inputs: Any, weights: Any) -> Any:
        qp.RX(inputs[..., 0] * weights[0], 0)
        return measurement()

    with pytest.raises(ConfigurationError, match=words):
        Circuit(function, 1, (1,), name="mine", backend="pennylane:default.qubit")


def test_a_circuit_that_fails_on_the_simulator() -> None:
    def damped(inputs: Any, weights: Any) -> Any:
        qp.RX(inputs[..., 0], 0)
        qp.AmplitudeDamping(weights[0] ** 2 + 2, 0)
        return qp.expval(qp.Z(0))

    with pytest.raises(ConfigurationError, match=r"'mine' does not run .* \[0,1\]"):
        Circuit(damped, 1, (1,), name="mine", backend="pennylane:default.mixed")


def test_a_circuit_that_does_not_fit_the_device() -> None:
    def thermal(inputs: Any, weights: Any) -> Any:
        qp.RX(inputs[..., 0] * weights[0], 0)
        qp.AmplitudeDamping(0.1, 0)
        return qp.expval(qp.Z(0))

    with pytest.raises(ConfigurationError, match=r"'mine' does not run on the device 'lightning"):
        Circuit(thermal, 1, (1,), name="mine", backend="pennylane:lightning.qubit")
    mixed = Circuit(thermal, 1, (1,), backend="pennylane:default.mixed")
    outputs = mixed(torch.tensor([[0.5]], dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    assert float(outputs) == pytest.approx(0.9 * np.cos(0.5) + 0.1)
