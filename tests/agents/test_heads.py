import numpy as np
import pytest
import torch

from agents.actor import ActorConfig
from agents.factory import make_actor, twin_parameter_count
from agents.heads import CATEGORICAL, LOG_STD, GaussianHead
from agents.networks import parameter_count
from agents.samplers import CategoricalSampler, GaussianSampler
from qmarl.errors import ConfigurationError

CIRCUIT = {
    "qubits": 4,
    "layers": 2,
    "encoding": {"rotations": "xyz"},
    "readout": {"kind": "z_pairs"},
}


def config(**changes):
    return ActorConfig.model_validate({"circuit": CIRCUIT, "precision": "float64", **changes})


def drawn(actor, stacks=2):
    each = [actor.initial(np.random.default_rng(seed)) for seed in range(stacks)]
    return {name: np.stack([params[name] for params in each]) for name in each[0]}


def tensors(seed=0, stacks=2, batch=5, size=3):
    rng = np.random.default_rng(seed)
    shapes = [(stacks, size), (stacks, batch, size), (stacks, batch, size)]
    return [torch.as_tensor(rng.normal(size=shape)) for shape in shapes]


@pytest.mark.parametrize("padded", [False, True])
def test_the_gaussian_is_that_of_torch_in_values_and_gradients(padded):
    log_std, means, actions = tensors()
    has = torch.tensor([True, True, not padded]).expand(2, 5, 3)
    weights = torch.as_tensor(np.random.default_rng(1).normal(size=(2, 2, 5)))

    def ours(own, outputs):
        head = GaussianHead(3, 0.0)
        return head.score({LOG_STD: own}, outputs, actions, ~has if padded else None)

    def theirs(own, outputs):
        normal = torch.distributions.Normal(outputs, own.exp().unsqueeze(1).expand_as(outputs))
        return tuple((x * has).sum(-1) for x in (normal.log_prob(actions), normal.entropy()))

    results = []
    for one in (ours, theirs):
        leaves = [log_std.clone().requires_grad_(), means.clone().requires_grad_()]
        log_prob, entropy = one(*leaves)
        (weights[0] * log_prob + weights[1] * entropy).sum().backward()
        results.append([log_prob, entropy, *(leaf.grad for leaf in leaves)])
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got.detach(), expected.detach(), atol=1e-12)


def test_gradients_of_the_gaussian_are_those_of_finite_differences():
    log_std, means, actions = tensors(3)
    forbidden = torch.zeros(2, 5, 3, dtype=torch.bool)
    forbidden[:, 2, 1] = True
    leaves = [log_std.requires_grad_(), means.requires_grad_()]

    def scores(own, outputs):
        return GaussianHead(3, 0.0).score({LOG_STD: own}, outputs, actions, forbidden)

    assert torch.autograd.gradcheck(scores, leaves)


def test_acting_and_learning_halves_give_one_log_probability():
    log_std, means, actions = tensors()
    counts = np.array([[True, True, True], [True, False, False]])
    sampler = GaussianSampler(log_std.numpy(), counts)
    outputs = sampler.masked(means.numpy().swapaxes(0, 1), np.ones((5, 2, 0), bool))
    chosen = np.where(counts, actions.numpy().swapaxes(0, 1), 0.0)
    acted = sampler.log_prob(outputs, chosen)
    forbidden = torch.as_tensor(~counts)[:, None].expand(2, 5, 3)
    learned, _ = GaussianHead(3, 0.0).score({LOG_STD: log_std}, means, actions, forbidden)
    np.testing.assert_allclose(acted, learned.numpy().T, atol=1e-12)
    logits, choices = means.numpy(), np.random.default_rng(0).integers(3, size=(2, 5))
    learned, _ = CATEGORICAL.score({}, means, torch.as_tensor(choices), None)
    acted = CategoricalSampler().log_prob(logits, choices)
    np.testing.assert_allclose(acted, learned.numpy(), atol=1e-12)


def test_draws_have_the_means_and_deviations_and_only_the_world_sees_them_clipped():
    log_std = np.log([[0.5, 2.0], [0.1, 9.0]])
    counts = np.array([[True, True], [True, False]])
    sampler = GaussianSampler(log_std, counts)
    means = sampler.masked(np.array([[0.3, -0.6], [0.9, 7.0]]), np.ones((2, 0), bool))
    draws = sampler.draw(means, sampler.noise(np.random.default_rng(1), (100_000, 2, 2)))
    np.testing.assert_allclose(draws.mean(0), [[0.3, -0.6], [0.9, 0.0]], atol=0.03)
    np.testing.assert_allclose(draws.std(0), [[0.5, 2.0], [0.1, 0.0]], atol=0.02)
    assert np.abs(draws).max() > 1
    given = sampler.performed(draws)
    assert given.dtype == np.float32
    np.testing.assert_array_equal(given, np.clip(draws, -1, 1))
    np.testing.assert_array_equal(sampler.mode(means), [[0.3, -0.6], [0.9, 0.0]])


@pytest.mark.parametrize("backend", ["program", "pennylane:default.qubit"])
@pytest.mark.parametrize("kind", ["vqc", "mlp"])
def test_a_continuous_actor_acts_as_it_learns_and_starts_near_0(kind, backend):
    actor = make_actor(config(kind=kind, backend=backend, log_std=-1.5), 6, 2, continuous=True)
    params, seen = drawn(actor), np.random.default_rng(9).normal(size=(2, 5, 6))
    acted = actor.policy.bind(params)(seen)
    learned = actor.outputs(
        {name: torch.as_tensor(array) for name, array in params.items()}, torch.as_tensor(seen)
    )
    assert acted.shape == (2, 5, 2)
    np.testing.assert_allclose(acted, learned.numpy(), atol=1e-12)
    assert np.abs(acted).max() < 0.6
    assert (params[LOG_STD] == -1.5).all()
    assert {name: array.shape[1:] for name, array in params.items()} == {
        name: spec.shape for name, spec in actor.layout.items()
    }
    assert actor.layout[LOG_STD] == ((2,), None, "log_std")


def test_the_spread_of_the_readout_is_the_configurations_where_it_gives_one():
    wide = make_actor(config(readout_spread=1.5), 6, 2, continuous=True)
    usual = make_actor(config(), 6, 2, continuous=True)
    choosing = make_actor(config(), 6, 2)
    weights = [drawn(actor)["readout.weight"] for actor in (wide, usual, choosing)]
    np.testing.assert_allclose(weights[0], 10 * weights[1])
    np.testing.assert_array_equal(weights[0], weights[2])


def test_the_continuous_twin_has_nearly_as_many_parameters():
    pair = [make_actor(config(kind=kind), 12, 3, continuous=True) for kind in ("vqc", "mlp")]
    counts = [parameter_count(actor.layout) for actor in pair]
    assert abs(counts[0] - counts[1]) <= 0.05 * counts[0]
    assert twin_parameter_count(config(), 12, 3, continuous=True) == counts[1]
    assert twin_parameter_count(config(kind="mlp"), 12, 3, continuous=True) == counts[0]
    choosing = [make_actor(config(kind=kind), 12, 3) for kind in ("vqc", "mlp")]
    assert [parameter_count(actor.layout) + 3 for actor in choosing] == counts


@pytest.mark.parametrize("kind", ["vqc", "mlp"])
def test_probabilities_of_outcomes_are_refused_where_actions_are_numbers(kind):
    projecting = config(kind=kind, circuit={**CIRCUIT, "readout": {"kind": "probabilities"}})
    with pytest.raises(ConfigurationError, match=r"readout: 'probabilities' .* use 'z' or 'z_pai"):
        make_actor(projecting, 6, 2, continuous=True)
    own = projecting.model_copy(update={"kind": "mlp", "hidden": (4,)})  # follows no circuit
    assert make_actor(own, 6, 2, continuous=True).layout[LOG_STD].shape == (2,)
