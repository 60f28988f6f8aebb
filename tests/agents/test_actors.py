import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from agents.actor import ActorConfig
from agents.factory import make_actor, twin_parameter_count
from agents.networks import parameter_count

CIRCUIT = {
    "qubits": 4,
    "layers": 2,
    "reupload": True,
    "encoding": {"rotations": "xyz", "scales": True},
    "ansatz": {"kind": "hardware_efficient"},
    "readout": {"kind": "z_pairs"},
}


def config(**changes):
    return ActorConfig.model_validate({"circuit": CIRCUIT, "precision": "float64", **changes})


def drawn(actor, stacks=2):
    each = [actor.initial(np.random.default_rng(seed)) for seed in range(stacks)]
    return {name: np.stack([params[name] for params in each]) for name in each[0]}


def observations(stacks=2, batch=5):
    return np.random.default_rng(9).normal(size=(stacks, batch, 12))


@pytest.mark.parametrize("kind", ["vqc", "mlp"])
def test_acting_and_learning_halves_agree(kind):
    actor = make_actor(config(kind=kind), 12, 7)
    params, seen = drawn(actor), observations()
    acted = actor.policy.bind(params)(seen)
    tensors = {name: torch.as_tensor(array) for name, array in params.items()}
    learned = actor.outputs(tensors, torch.as_tensor(seen))
    assert acted.shape == (2, 5, 7)
    np.testing.assert_allclose(acted, learned.numpy(), atol=1e-12)
    assert {name: array.shape[1:] for name, array in params.items()} == {
        name: spec.shape for name, spec in actor.layout.items()
    }


def test_the_program_equals_the_pennylane_device_in_logits_and_gradients():
    results = {}
    for backend in ("program", "pennylane:default.qubit"):
        actor = make_actor(config(backend=backend), 12, 7)
        params = {
            name: torch.as_tensor(array).requires_grad_() for name, array in drawn(actor).items()
        }
        logits = actor.outputs(params, torch.as_tensor(observations()))
        logits.square().mean().backward()
        acted = actor.policy.bind(drawn(actor))(observations())
        gradients = {name: tensor.grad.numpy() for name, tensor in params.items()}
        results[backend] = (logits.detach().numpy(), acted, gradients)
    ours, theirs = results.values()
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-10)
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-10)
    for name, gradient in ours[2].items():
        np.testing.assert_allclose(gradient, theirs[2][name], atol=1e-10)


def test_the_readout_is_linear_in_the_observables():
    actor = make_actor(config(), 12, 7)
    params = drawn(actor)
    logits = actor.policy.bind(params)(observations())
    doubled = {**params, "readout.weight": 2 * params["readout.weight"]}
    np.testing.assert_allclose(actor.policy.bind(doubled)(observations()), 2 * logits, atol=1e-12)


def test_the_twin_has_nearly_as_many_parameters():
    quantum, twin = make_actor(config(), 12, 7), make_actor(config(kind="mlp"), 12, 7)
    counts = parameter_count(quantum.layout), parameter_count(twin.layout)
    assert abs(counts[0] - counts[1]) <= 0.05 * counts[0]
    assert twin_parameter_count(config(), 12, 7) == counts[1]
    assert twin_parameter_count(config(kind="mlp"), 12, 7) == counts[0]


def test_a_worker_acts_and_learns_with_a_quantum_actor_without_pennylane(tmp_path):
    actor = make_actor(config(), 12, 7)
    path = tmp_path / "actor"
    path.write_bytes(pickle.dumps((actor, drawn(actor))))
    code = (
        "import pickle, sys, numpy as np\n"
        f"actor, params = pickle.loads(open({str(path)!r}, 'rb').read())\n"
        "actor.policy.bind(params)(np.ones((2, 3, 12)))\n"
        "assert 'torch' not in sys.modules\n"
        "import torch\n"
        "params = {n: torch.as_tensor(a).requires_grad_() for n, a in params.items()}\n"
        "actor.outputs(params, torch.ones(2, 3, 12, dtype=torch.float64)).sum().backward()\n"
        "assert params['angles'].grad.abs().sum() > 0\n"
        "assert 'pennylane' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
