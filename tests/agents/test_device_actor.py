import pickle

import numpy as np
import pytest
import torch

from agents.actor import ActorConfig
from agents.factory import make_actor
from qmarl.errors import ConfigurationError

CIRCUIT = {"qubits": 2, "layers": 1, "encoding": {"rotations": "xyz", "scales": True}}


def config(**changes):
    return ActorConfig.model_validate({"circuit": CIRCUIT, "precision": "float64", **changes})


def on(device, **options):
    return make_actor(config(backend=f"pennylane:{device}", device_options=options), 5, 3)


def seen_and_params(actor):
    rng = np.random.default_rng(2)
    each = [actor.initial(np.random.default_rng(seed)) for seed in range(2)]
    params = {name: np.stack([params[name] for params in each]) for name in each[0]}
    return rng.normal(size=(2, 4, 5)), params


def learned(actor):
    seen, params = seen_and_params(actor)
    tensors = {name: torch.as_tensor(array).requires_grad_() for name, array in params.items()}
    logits = actor.outputs(tensors, torch.as_tensor(seen))
    logits.square().mean().backward()
    return [logits.detach().numpy(), *(tensor.grad.numpy() for tensor in tensors.values())]


@pytest.mark.parametrize("device", ["lightning.qubit", "default.mixed"])
def test_a_device_acts_and_learns_as_the_program(device):
    program, actor = make_actor(config(), 5, 3), on(device)
    for ours, theirs in zip(learned(program), learned(actor), strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-10)
    seen, params = seen_and_params(actor)
    expected = program.policy.bind(params)(seen)
    np.testing.assert_allclose(actor.policy.bind(params)(seen), expected, atol=1e-10)


def test_shots_reach_the_device_and_the_description():
    actor = on("default.qubit", shots=9, seed=1)
    outcome = {"noise": None, "shots": 9, "gradient": "parameter_shift"}
    assert actor.measurement == outcome
    seen, params = seen_and_params(actor)
    before = actor.circuit.ledger.snapshot()
    actor.policy.bind(params)(seen)
    counts = actor.circuit.ledger.snapshot().since(before)
    assert (counts.executions, counts.shots) == (8, 72)


def test_shots_mean_the_same_on_a_device_as_on_the_program():
    for backend in ("program", "pennylane:default.qubit"):
        actor = make_actor(config(backend=backend, shots=9), 4, 3)
        assert actor.measurement == {"noise": None, "shots": 9, "gradient": "parameter_shift"}


def test_the_policy_of_a_device_travels():
    actor = on("default.qubit", seed=3)
    seen, params = seen_and_params(actor)
    copy = pickle.loads(pickle.dumps(actor.policy))
    np.testing.assert_array_equal(copy.bind(params)(seen), actor.policy.bind(params)(seen))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device_options": {"shots": 5}}, "they are for 'backend: pennylane:<device>', not for"),
        (
            {"backend": "pennylane:default.qubit", "device_options": {"shots": 0}},
            "device_options: 'shots' must be a whole number of at least 1, got 0",
        ),
        ({"device_retries": -1}, "device_retries"),
    ],
)
def test_options_that_do_not_fit(changes, words):
    with pytest.raises(ValueError, match=words):
        config(**changes)


def test_options_that_the_device_does_not_have():
    with pytest.raises(ConfigurationError, match=r"'lightning\.qubit' has no option 'sede'"):
        on("lightning.qubit", sede=1)
