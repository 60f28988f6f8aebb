"""A run that begins with another run's parameters: what fits is taken, and kept beside the run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from qmarl import checkpoint as checkpoints
from qmarl.errors import ConfigurationError
from qmarl.types import Array, Params
from trainers.config import ExperimentConfig
from trainers.rundir import RunDirectory
from trainers.state import TrainingState

DIRECTORY = "origin"
"""Where a run keeps what it began with, so that it goes on without the other run; ``origin.json``
says for people which one that was."""

ACTOR, CRITIC = "actor.", "critic."


@dataclass(frozen=True)
class Origin:
    """Parameters of an earlier run.

    Attributes:
        run: Its directory, as it was named.
        round: Rounds that the parameters had learned for.
        params: Parameters ``(S, ...)`` of every group.
        actor: The section that its actors were made from, as plain data.
    """

    run: str
    round: int
    params: dict[str, Params]
    actor: dict[str, Any]

    @classmethod
    def read(cls, run: Path) -> Origin:
        """Reads the best parameters of a run.

        Raises:
            RunError: The directory is not a run, or has no usable checkpoint.
        """
        directory = RunDirectory.open(run)
        state = TrainingState.from_checkpoint(checkpoints.load(directory.checkpoints, "best"))
        actor = directory.config(ExperimentConfig).actor.model_dump(mode="json")
        return cls(str(run), state.round, state.params, actor)

    @classmethod
    def kept(cls, run: RunDirectory) -> Origin | None:
        """What a run began with; ``None`` if it began at random.

        Raises:
            RunError: It is there, but damaged.
        """
        home = run.path / DIRECTORY
        if not home.is_dir():
            return None
        kept = checkpoints.load(home)
        meta = kept.meta
        return cls(str(meta["run"]), kept.step, dict(kept.arrays), dict(meta["actor"]))

    def keep(self, run: RunDirectory) -> None:
        """Writes everything down beside a run.

        Raises:
            RunError: It cannot be written.
        """
        meta = {"run": self.run, "actor": self.actor}
        checkpoints.save(run.path / DIRECTORY, self.round, self.params, meta)
        run.write(f"{DIRECTORY}.json", json.dumps({"run": self.run, "round": self.round}))

    def begin(self, start: TrainingState) -> TrainingState:
        """Puts the parameters in the place of those that were drawn at random.

        Actors have to fit. Critics are taken along where all of a group's fit, and begin anew
        elsewhere. Moments begin at zero.

        Args:
            start: The state before round 0.

        Raises:
            ConfigurationError: A group, an actor's parameter or the number of models differs.
        """
        params = {name: self._group(name, own) for name, own in start.params.items()}
        return replace(start, params=params)

    def remarks(self, config: ExperimentConfig, start: TrainingState) -> Iterator[str]:
        """Sentences about what was not the same in the other run, for a person to read."""
        for name, own in start.params.items():
            if any(key.startswith(CRITIC) for key in own) and not self._critic(name, own):
                yield f"the critic of group '{name}' begins anew: that of {self.run} does not fit"
        actor = config.actor.model_dump(mode="json")
        keys = sorted(key for key in actor if actor[key] != self.actor.get(key))
        if keys:
            yield f"the actor's settings differ from those of {self.run}: {', '.join(keys)}"

    def _group(self, name: str, own: Params) -> Params:
        if name not in self.params:
            raise ConfigurationError(
                f"--from {self.run}: it has no group '{name}', only {sorted(self.params)}"
            )
        actor = {key: self._fitting(name, key, array) for key, array in own.items() if _acts(key)}
        return own | actor | self._critic(name, own)

    def _fitting(self, group: str, key: str, own: Array) -> Array:
        theirs = self.params[group].get(key)
        if theirs is None or theirs.shape[1:] != own.shape[1:]:
            got = "no such parameter" if theirs is None else f"shape {theirs.shape[1:]}"
            raise ConfigurationError(
                f"--from {self.run}: '{key}' of group '{group}' has shape {own.shape[1:]} here, "
                f"but {got} there; the actor and what it observes have to be the same in both runs"
            )
        rows = _rows(theirs, len(own))
        if rows is None:
            raise ConfigurationError(
                f"--from {self.run}: group '{group}' has {len(theirs)} different models there and "
                f"{len(own)} here; only a model that all share can be given to another number"
            )
        return rows.astype(own.dtype)

    def _critic(self, group: str, own: Params) -> Params:
        """The group's critics, if every one of their arrays fits."""
        theirs = self.params.get(group, {})
        taken: Params = {}
        for key in (key for key in own if key.startswith(CRITIC)):
            same = key in theirs and theirs[key].shape == own[key].shape
            if not same:
                return {}
            taken[key] = theirs[key].astype(own[key].dtype)
        return taken


def _acts(key: str) -> bool:
    return key.startswith(ACTOR)


def _rows(theirs: Array, count: int) -> Array | None:
    """The models for ``count`` places: as many as there are, or one that all of them share."""
    if len(theirs) == count:
        return theirs
    return np.repeat(theirs[:1], count, axis=0) if (theirs == theirs[0]).all() else None
