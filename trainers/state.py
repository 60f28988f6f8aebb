"""What a run is between two rounds: all that has to survive to end with the same bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qmarl.checkpoint import Checkpoint
from qmarl.errors import RunError
from qmarl.seeding import stream
from qmarl.types import Params
from trainers.groups import Group

NUMBERS = ("round", "env_steps", "best", "best_round")
PARTS = ("params", "moments", "server", "links")


@dataclass(frozen=True)
class TrainingState:
    """The state after ``round`` rounds; random streams need none, they follow from the round.

    Attributes:
        round: Rounds that are done.
        env_steps: World steps that were taken.
        best: Score of the best evaluation so far, ``None`` before the first.
        best_round: Rounds that were done then.
        params: Parameters ``(S, ...)`` of every group, shared ones as the server has them.
        moments: Optimiser moments of every group.
        server: State of every group's server.
        links: State of every client's link.
    """

    round: int
    env_steps: int
    best: float | None
    best_round: int | None
    params: dict[str, Params]
    moments: dict[str, Params]
    server: dict[str, Params] = field(default_factory=dict)
    links: dict[str, Params] = field(default_factory=dict)

    @property
    def is_best(self) -> bool:
        """Whether these very parameters were judged the best."""
        return self.best_round == self.round

    def arrays(self) -> dict[str, Params]:
        """All arrays as ``<part>.<group>`` for a checkpoint."""
        return {
            f"{part}.{group}": params
            for part in PARTS
            for group, params in getattr(self, part).items()
        }

    def meta(self) -> dict[str, Any]:
        """All plain numbers for a checkpoint."""
        return {name: getattr(self, name) for name in NUMBERS}

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> TrainingState:
        """Reads what :meth:`arrays` and :meth:`meta` wrote.

        Raises:
            RunError: The checkpoint lacks a part of the state.
        """
        parts: dict[str, dict[str, Params]] = {part: {} for part in PARTS}
        try:
            for name, params in checkpoint.arrays.items():
                part, _, group = name.partition(".")
                parts[part][group] = dict(params)
            numbers = {name: checkpoint.meta[name] for name in NUMBERS}
        except KeyError as error:
            raise RunError(f"the checkpoint of step {checkpoint.step} lacks {error}") from error
        return cls(
            **numbers,
            params=parts["params"],
            moments=parts["moments"],
            server=parts["server"],
            links=parts["links"],
        )


def initial_state(groups: Mapping[str, Group], seed: int) -> TrainingState:
    """Draws first parameters: every learner its own, from streams named after group and place."""
    params, moments = {}, {}
    for name, group in groups.items():
        drawn = [
            group.learner.initial(
                stream(seed, "actor", name, place), stream(seed, "critic", name, place)
            )
            for place in range(group.stacks)
        ]
        params[name] = {
            array: np.stack([one[array] for one in drawn[: _count(group, array)]])
            for array in drawn[0]
        }
        moments[name] = group.learner.initial_moments(group.stacks, group.critics)
    return TrainingState(0, 0, None, None, params, moments)


def _count(group: Group, array: str) -> int:
    return group.critics if array.startswith("critic.") else group.stacks
