"""Layer-wise training of circuits: the parameters of a learner that move at a given time."""

from __future__ import annotations

import numpy as np

from agents.actor import Actor
from agents.circuit_actor import CircuitActor
from qmarl.circuits.training import learning_parameters
from qmarl.types import Array
from trainers.algorithms.adam import Packing


def moving(actor: Actor, packing: Packing, progress: float) -> Array:
    """Which of an actor's parameters move.

    Frozen ones keep their moments up to date, so that Adam knows the size of their gradients when
    they start to move. The answer follows from the round alone: a resumed run moves the same ones.

    Args:
        actor: The actor.
        packing: Order of its parameters.
        progress: Share of the training that is done, in [0, 1).

    Returns:
        ``(P,)`` of 1 and 0.
    """
    masks = {name: np.ones(spec.shape) for name, spec in packing.layout.items()}
    if isinstance(actor, CircuitActor):
        circuit = actor.config.circuit
        own = {name: spec for name, spec in actor.layout.items() if name in ("angles", "scales")}
        masks |= learning_parameters(circuit.training, circuit.layers, own, progress)
    stacked = {name: mask[None].astype(np.float64) for name, mask in masks.items()}
    return np.asarray(packing.pack(stacked)[0])
