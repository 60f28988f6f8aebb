"""Every built-in circuit equals PennyLane's default.qubit: values, gradients, agents, dtypes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qmarl.circuits import Circuit, CircuitConfig, build_circuit
from qmarl.circuits.ansatz import AnsatzConfig
from qmarl.circuits.encoding import EncodingConfig
from qmarl.circuits.readout import ReadoutConfig

CASES = [
    # ansatz, readout, qubits, layers, rotations, inputs, reupload, scales
    ("strongly_entangling", "z", 4, 2, "x", 4, False, False),
    ("strongly_entangling", "z_pairs", 3, 3, "y", 3, True, True),
    ("strongly_entangling", "probabilities", 1, 2, "xz", 2, True, False),
    ("basic_entangler", "z", 3, 2, "zx", 5, True, True),
    ("basic_entangler", "probabilities", 2, 2, "x", 2, False, False),
    ("hardware_efficient", "z_pairs", 4, 4, "xyz", 12, True, True),
    ("hardware_efficient", "z", 2, 1, "xyz", 4, False, True),
    ("hardware_efficient", "local", 3, 2, "xy", 6, True, False),
    ("hardware_efficient", "z_pairs", 5, 2, "xy", 7, False, False),
]


def make(case: tuple[str, str, int, int, str, int, bool, bool], backend: str) -> Circuit:
    ansatz, readout, qubits, layers, rotations, inputs, reupload, scales = case
    config = CircuitConfig(
        qubits=qubits,
        layers=layers,
        reupload=reupload,
        encoding=EncodingConfig(rotations=rotations, scales=scales),
        ansatz=AnsatzConfig(kind=ansatz),
        readout=ReadoutConfig(kind=readout),
    )
    return build_circuit(config, inputs, backend)


def draw(
    circuit: Circuit, lead: tuple[int, ...], batch: int, dtype: torch.dtype, seed: int = 0
) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
    rng = np.random.default_rng(seed)

    def tensor(*shape: int) -> torch.Tensor:
        return torch.as_tensor(rng.uniform(-3, 3, shape), dtype=dtype)

    inputs = tensor(*lead, batch, circuit.n_inputs).requires_grad_()
    weights = {
        name: tensor(*lead, *spec.shape).requires_grad_() for name, spec in circuit.layout.items()
    }
    return inputs, weights, tensor(*lead, batch, circuit.n_outputs) / (batch * circuit.n_outputs)


def run(
    circuit: Circuit, inputs: torch.Tensor, weights: dict[str, torch.Tensor], probe: torch.Tensor
) -> list[torch.Tensor]:
    leaves = [inputs, *weights.values()]
    outputs = circuit(inputs, weights)
    return [outputs.detach(), *torch.autograd.grad((outputs * probe).sum(), leaves)]


def worst(left: list[torch.Tensor], right: list[torch.Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(left, right, strict=True))


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(map(str, case)))
def pair(request: pytest.FixtureRequest) -> tuple[Circuit, Circuit]:
    return make(request.param, "program"), make(request.param, "pennylane:default.qubit")


def test_values_and_gradients_are_exact_in_float64(pair: tuple[Circuit, Circuit]) -> None:
    fused, device = pair
    assert fused.path == "program"
    for batch in (3, 40):
        arguments = draw(fused, (2,), batch, torch.float64)
        assert worst(run(fused, *arguments), run(device, *arguments)) < 1e-12


def test_float32_is_exact_to_its_own_precision(pair: tuple[Circuit, Circuit]) -> None:
    fused, device = pair
    inputs, weights, probe = draw(fused, (1,), 40, torch.float32)
    got = run(fused, inputs, weights, probe)
    assert all(tensor.dtype == torch.float32 for tensor in got)
    double = [t.detach().double().requires_grad_() for t in (inputs, *weights.values())]
    exact = run(device, double[0], dict(zip(weights, double[1:], strict=True)), probe.double())
    assert worst([tensor.double() for tensor in got], exact) < 1e-6


def test_agents_in_one_call_equal_a_loop(pair: tuple[Circuit, Circuit]) -> None:
    fused, _ = pair
    inputs, weights, probe = draw(fused, (2, 3), 5, torch.float64)
    together = run(fused, inputs, weights, probe)
    for agent in np.ndindex(2, 3):
        own = {name: weight[agent].detach().requires_grad_() for name, weight in weights.items()}
        alone = run(fused, inputs[agent].detach().requires_grad_(), own, probe[agent])
        assert worst(alone, [tensor[agent] for tensor in together]) < 1e-13


def test_frozen_program_equals_the_circuit(pair: tuple[Circuit, Circuit]) -> None:
    fused, _ = pair
    assert fused.program is not None
    inputs, weights, _ = draw(fused, (2,), 7, torch.float64)
    program = type(fused.program).from_bytes(fused.program.to_bytes())
    bound = program.bind({name: w.detach().numpy() for name, w in weights.items()}, np.float64)
    expected = fused(inputs, weights).detach().numpy()
    np.testing.assert_allclose(bound(inputs.detach().numpy()), expected, rtol=0, atol=1e-13)
    assert bound(inputs.detach().numpy()).shape == (2, 7, program.n_outputs)
