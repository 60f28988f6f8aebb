import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agents.baseline import mlp_size, twin_widths
from agents.heads import MASKED, gumbel, log_prob, log_softmax, masked
from agents.networks import (
    mlp_forward,
    mlp_forward_torch,
    mlp_initial,
    mlp_layout,
    parameter_count,
)


def stacked(sizes, stacks):
    drawn = [mlp_initial(sizes, np.random.default_rng(seed), 1.0) for seed in range(stacks)]
    return {name: np.stack([one[name] for one in drawn]) for name in drawn[0]}


def test_numpy_and_torch_perceptrons_agree_with_a_plain_module():
    sizes, stacks = (5, 7, 4, 3), 2
    params = stacked(sizes, stacks)
    inputs = np.random.default_rng(0).normal(size=(stacks, 6, 5))
    ours = mlp_forward(params, inputs.copy())
    tensors = {name: torch.as_tensor(array) for name, array in params.items()}
    torches = mlp_forward_torch(tensors, torch.as_tensor(inputs))
    np.testing.assert_allclose(ours, torches.numpy(), atol=1e-12)
    for place in range(stacks):
        x = torch.as_tensor(inputs[place])
        for layer in range(3):
            x = torch.nn.functional.linear(
                x, tensors[f"w{layer}"][place].T, tensors[f"b{layer}"][place]
            )
            x = x.tanh() if layer < 2 else x
        np.testing.assert_allclose(ours[place], x.numpy(), atol=1e-12)


def test_layout_declares_what_is_drawn():
    sizes = (12, 9, 7)
    shapes = {name: spec.shape for name, spec in mlp_layout(sizes).items()}
    drawn = mlp_initial(sizes, np.random.default_rng(0), 0.1)
    assert shapes == {name: array.shape for name, array in drawn.items()}
    assert parameter_count(mlp_layout(sizes)) == mlp_size(sizes) == 187


@given(st.integers(2, 40), st.integers(2, 16), st.integers(60, 600))
def test_the_twin_is_within_five_percent_where_whole_widths_allow(inputs, outputs, target):
    found = mlp_size([inputs, *twin_widths(inputs, outputs, target), outputs])
    every = [mlp_size([inputs, a, outputs]) for a in range(1, 80)]
    every += [
        mlp_size([inputs, a, b, outputs]) for a in range(1, 40) for b in range((a + 1) // 2, a + 1)
    ]
    closest = min(abs(size - target) for size in every)
    assert abs(found - target) <= max(closest, 0.05 * target)


def test_sampling_by_gumbel_noise_follows_the_softmax():
    logits = np.array([1.0, 0.0, -1.0, 0.5])
    noise = gumbel(np.random.default_rng(1), (200_000, 4))
    counts = np.bincount((logits + noise).argmax(-1), minlength=4) / 200_000
    np.testing.assert_allclose(counts, np.exp(log_softmax(logits)), atol=0.005)


def test_forbidden_actions_are_never_drawn_and_cost_no_probability():
    logits = np.zeros((1, 3))
    mask = np.array([[True, False, True]])
    out = masked(logits, mask)
    assert out[0, 1] == MASKED
    assert log_prob(out, np.array([0]))[0] == pytest.approx(np.log(0.5))
    assert masked(logits, np.ones_like(mask)) is logits
