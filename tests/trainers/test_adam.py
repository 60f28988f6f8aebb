import numpy as np
import torch

from qmarl.types import ParameterSpec
from trainers.algorithms.adam import EPSILON, Packing, RoleSettings, StackedAdam, initial_moments

LAYOUT = {
    "w": ParameterSpec((2, 3), None, "weights"),
    "angles": ParameterSpec((4,), 6.28, "angles"),
    "b": ParameterSpec((3,), None, "weights"),
}


def params(stacks):
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(stacks, *spec.shape)) for name, spec in LAYOUT.items()}


def test_packing_is_undone_by_unpacking_and_roles_are_contiguous():
    packing = Packing.of(LAYOUT)
    original = params(3)
    back = packing.unpack(packing.pack(original))
    assert all((back[name] == original[name]).all() for name in LAYOUT)
    assert packing.roles() == {"angles": slice(0, 4), "weights": slice(4, 13)}


def test_each_row_steps_as_torchs_adam_with_its_own_clipping_would():
    stacks, packing = 2, Packing.of(LAYOUT)
    settings = RoleSettings({"angles": 0.1, "weights": 0.01}, {"angles": 0.5, "weights": 1e9})
    rows = torch.as_tensor(packing.pack(params(stacks))).requires_grad_()
    adam = StackedAdam(packing, rows, initial_moments(stacks, LAYOUT), settings)
    lone = [
        {n: torch.as_tensor(a[s].copy()).requires_grad_() for n, a in params(stacks).items()}
        for s in range(stacks)
    ]
    optimisers = [
        torch.optim.Adam(
            [
                {"params": [one["angles"]], "lr": 0.1},
                {"params": [one["w"], one["b"]], "lr": 0.01},
            ],
            eps=EPSILON,
        )
        for one in lone
    ]
    for step in range(5):
        scales = torch.arange(1.0, stacks + 1, dtype=torch.float64)[:, None] * (step + 1)
        (rows.square() * scales).sum().backward()
        adam.step()
        for s, (one, optimiser) in enumerate(zip(lone, optimisers, strict=True)):
            optimiser.zero_grad()
            sum((p.square() * scales[s]).sum() for p in one.values()).backward()
            torch.nn.utils.clip_grad_norm_([one["angles"]], 0.5)
            optimiser.step()
    got = packing.unpack(rows.detach().numpy())
    for s, one in enumerate(lone):
        for name, tensor in one.items():
            np.testing.assert_allclose(got[name][s], tensor.detach().numpy(), atol=1e-9)


def test_moments_carry_over():
    packing = Packing.of(LAYOUT)
    settings = RoleSettings({"angles": 0.1, "weights": 0.1}, {"angles": 1.0, "weights": 1.0})

    def steps(rows, moments, count):
        rows = torch.as_tensor(rows).clone().requires_grad_()
        adam = StackedAdam(packing, rows, moments, settings)
        for _ in range(count):
            rows.square().sum().backward()
            adam.step()
        return rows.detach().numpy(), adam.moments()

    start = packing.pack(params(2))
    whole, _ = steps(start, initial_moments(2, LAYOUT), 6)
    half, moments = steps(start, initial_moments(2, LAYOUT), 3)
    resumed, _ = steps(half, moments, 3)
    assert (whole == resumed).all()
