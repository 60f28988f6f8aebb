"""FedProx's client term: shared parameters are held near the broadcast, personal ones are free."""

import json

import numpy as np
import torch

from qmarl.types import ParameterSpec
from trainers.algorithms.adam import Packing, RoleSettings, StackedAdam, initial_moments
from trainers.algorithms.proximal import Proximal

LAYOUT = {"w": ParameterSpec((2,), None, "weights"), "b": ParameterSpec((1,), None, "readout")}


def test_only_shared_names_are_pulled():
    packing = Packing.of(LAYOUT)
    pull = Proximal(0.5, ("actor.w",)).pull("actor", packing)
    assert sorted(pull.tolist()) == [0.0, 0.5, 0.5]
    assert Proximal(0.5, ("actor.b",)).pull("actor", packing).sum() == 0.5
    assert Proximal(0.5, ("actor.w",)).pull("critic", packing).sum() == 0


def test_the_gradient_is_that_of_the_quadratic_loss():
    packing = Packing.of(LAYOUT)
    start = torch.tensor([[1.0, -2.0, 3.0]], dtype=torch.float64)
    settings = RoleSettings({"weights": 0.1, "readout": 0.1}, {"weights": 1e9, "readout": 1e9})

    def walk(mu):
        rows = start.clone().requires_grad_()
        moments = {k: v[:1] for k, v in initial_moments(1, LAYOUT).items()}
        adam = StackedAdam(packing, rows, moments, settings)
        if mu == "held":
            adam.hold(np.full(3, 0.7))
        for step in range(5):
            loss = (rows * torch.tensor([[1.0, 2.0, -1.0]]) * (step + 1)).sum()
            if mu == "written":
                loss = loss + 0.35 * ((rows - start) ** 2).sum()
            loss.backward()
            adam.step()
        return rows.detach().numpy()

    np.testing.assert_allclose(walk("held"), walk("written"), rtol=1e-12)
    assert np.abs(walk("held") - walk("free")).max() > 1e-3


def test_a_strong_pull_shortens_the_way_and_none_changes_nothing(small, train):
    def norms(run):
        lines = (run / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line)["federation/all/update_norm"] for line in lines]

    longer = ("algorithm.epochs=8", "algorithm.minibatches=4")
    plain = norms(train(small(*longer, "federation.strategy=fedavg")))
    none = norms(train(small(*longer, "federation.strategy={kind: fedprox, proximal_mu: 0.0}")))
    strong = norms(train(small(*longer, "federation.strategy={kind: fedprox, proximal_mu: 10}")))
    assert none == plain
    assert sum(strong) < 0.8 * sum(plain)
