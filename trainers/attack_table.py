"""Attack tables: what every strategy is worth under every attack, in one number each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import ValidationError

from qmarl.config import unknown
from qmarl.errors import ConfigurationError
from qmarl.federated.aggregators import FedAvg
from qmarl.federated.attacks import ATTACKS
from qmarl.federated.config import FederationConfig
from qmarl.federated.strategies import (
    AggregatorConfig,
    Bulyan,
    CentredClipping,
    FedMedian,
    FedTrimmedAvg,
    GeometricMedian,
    Krum,
    MultiKrum,
)
from qmarl.types import Array
from trainers.attack_judges import DrawnUpdates, Judge, TrainedClassifier
from trainers.config import ExperimentConfig
from trainers.perception.attack_section import AnyAttack
from trainers.perception.config import ClassificationConfig
from trainers.perception.poisoning import POISONS, LabelBackdoor, LabelFlip
from trainers.statistics import Interval, bootstrap

NO_ATTACK = "none"
"""Name of the column without an attack."""


@dataclass(frozen=True)
class Cell:
    """One strategy under one attack.

    Attributes:
        strategy: The row.
        attack: The column.
        scores: ``(n,)`` of each seed or draw; empty where the strategy was refused.
        refused: Why it was.
    """

    strategy: str
    attack: str
    scores: Array = field(default_factory=lambda: np.zeros(0))
    refused: str = ""

    @property
    def interval(self) -> Interval:
        """Mean over seeds or draws, with its 95 % bootstrap interval."""
        return bootstrap(self.scores)


@dataclass(frozen=True)
class AttackTable:
    """Every strategy under every attack.

    Attributes:
        measure: What the numbers are.
        clients: Number of clients.
        malicious: How many of them are malicious.
        cells: Row by row.
    """

    measure: str
    clients: int
    malicious: int
    cells: tuple[Cell, ...]

    @property
    def strategies(self) -> tuple[str, ...]:
        """The rows' names."""
        return tuple(dict.fromkeys(cell.strategy for cell in self.cells))

    @property
    def attacks(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(dict.fromkeys(cell.attack for cell in self.cells))

    def cell(self, strategy: str, attack: str) -> Cell:
        """One cell, by the names of its row and column."""
        return next(c for c in self.cells if (c.strategy, c.attack) == (strategy, attack))

    def plain(self) -> dict[str, Any]:
        """The table as plain data."""
        cells = [
            {"strategy": cell.strategy, "attack": cell.attack}
            | ({"refused": cell.refused} if cell.refused else {**cell.interval})
            | {"scores": cell.scores.tolist()}
            for cell in self.cells
        ]
        head = {"measure": self.measure, "clients": self.clients, "malicious": self.malicious}
        return {**head, "cells": cells}


def classifier_table(config: ClassificationConfig) -> AttackTable:
    """Trains a classifier in every cell of its ``attack_table``."""
    asked = config.attack_table
    malicious = config.client_names[: asked.malicious]
    strategies = asked.strategies or usual_strategies(config.clients, asked.malicious)
    attacks = asked.attacks or tuple(
        kind(clients=malicious) for kind in (*ATTACKS.values(), *POISONS.values())
    )
    rows = _rows(strategies, asked.malicious, asked.mixing)
    judge = TrainedClassifier(config)
    cells = _cells(judge, config.federation, rows, attacks, malicious, config.clients)
    return AttackTable("accuracy", config.clients, asked.malicious, tuple(cells))


def update_table(
    config: ExperimentConfig,
    malicious: int | None = None,
    draws: int = 20,
    group: str | None = None,
) -> AttackTable:
    """Joins random updates with the clients and the shared parameters of an experiment.

    Nothing is trained. Every honest update is ``1 + 0.1 * normal`` in every coordinate.

    Args:
        config: The experiment; its own strategy stands in the first row.
        malicious: Malicious clients; as many as ``federation.attack`` names, or a fifth, when left
            out.
        draws: Rounds of random updates in each cell.
        group: Group of agents; the first one when left out.

    Raises:
        ConfigurationError: Nothing is federated, or there are not that many clients or groups.
    """
    from trainers.build import build

    federation = config.federation
    if federation.sharing != "federated":
        raise ConfigurationError(
            f"federation.sharing: '{federation.sharing}' has no clients to attack; use 'federated'"
        )
    groups = build(config).groups
    if group is not None and group not in groups:
        raise ConfigurationError(f"--group: {unknown('group', group, list(groups))}")
    found = groups[group or next(iter(groups))]
    layout = federation.shared(found.learner.layout)
    count = _count(malicious, federation, len(found.clients))
    bad = tuple(sorted(found.clients)[:count])
    usual = usual_strategies(len(found.clients), count)
    own = federation.strategy
    rows = _rows([own, *(each for each in usual if each.kind != own.kind)], count, mixing=True)
    attacks = tuple(kind(clients=bad) for kind in ATTACKS.values())
    judge = DrawnUpdates(found.clients, layout, draws)
    cells = _cells(judge, federation, rows, attacks, bad, len(found.clients))
    measure = "distance of the step from the honest mean, in lengths of it"
    return AttackTable(measure, len(found.clients), count, tuple(cells))


def usual_strategies(clients: int, malicious: int) -> tuple[AggregatorConfig, ...]:
    """Averaging and every robust strategy, told how many clients are malicious."""
    return (
        FedAvg(),
        FedMedian(),
        FedTrimmedAvg(beta=min(malicious / max(clients - 1, 1), 0.49)),  # also when one is refused
        GeometricMedian(),
        Krum(num_malicious_clients=malicious),
        MultiKrum(num_malicious_clients=malicious),
        Bulyan(num_malicious_clients=malicious),
        CentredClipping(),
    )


def _count(malicious: int | None, federation: FederationConfig, clients: int) -> int:
    """How many are malicious, at least one, and at least one is not."""
    named = len(federation.attack.clients) if federation.attack else max(1, clients // 5)
    count = malicious if malicious is not None else named
    if not 1 <= count < clients:
        raise ConfigurationError(
            f"--malicious: got {count} of {clients} clients; allowed are 1 to {clients - 1}"
        )
    return count


def _rows(
    strategies: Sequence[AggregatorConfig], malicious: int, mixing: bool
) -> list[tuple[str, AggregatorConfig, int]]:
    """Every row's name, its strategy, and how many malicious clients mixing is to bear with."""
    plain = [(_words(each), each, 0) for each in strategies]
    mixed = [(f"{name} after mixing", each, malicious) for name, each, _ in plain]
    return plain + (mixed if mixing else [])


def _words(section: AggregatorConfig | AnyAttack) -> str:
    """Names a strategy or an attack with the settings that are not the usual ones.

    >>> _words(FedTrimmedAvg(beta=0.3)), _words(FedMedian())
    ('fedtrimmedavg (beta 0.3)', 'fedmedian')
    """
    usual = type(section).model_fields
    chosen = ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in section
        if key not in ("kind", "clients") and value != usual[key].default
    )
    return f"{section.kind} ({chosen})" if chosen else section.kind


def _cells(
    judge: Judge,
    federation: FederationConfig,
    rows: Sequence[tuple[str, AggregatorConfig, int]],
    attacks: Sequence[AnyAttack],
    malicious: tuple[str, ...],
    clients: int,
) -> Iterator[Cell]:
    """Tries every row without an attack, then under each one."""
    tried = [attack.model_copy(update={"clients": malicious}) for attack in attacks]
    for name, strategy, mixing in rows:
        layer = {"strategy": strategy, "neighbour_mixing": mixing}
        for attack in (None, *tried):
            column = NO_ATTACK if attack is None else _words(attack)
            yield _cell(judge, federation, layer, attack, (name, column), clients)


def _cell(
    judge: Judge,
    federation: FederationConfig,
    layer: Mapping[str, object],
    attack: AnyAttack | None,
    names: tuple[str, str],
    clients: int,
) -> Cell:
    """One cell; a strategy that its clients are too few for is refused, not tried."""
    sent = None if isinstance(attack, LabelFlip | LabelBackdoor) else attack
    given = {name: getattr(federation, name) for name in FederationConfig.model_fields}
    try:
        config = FederationConfig.model_validate({**given, **layer, "attack": sent})
    except ValidationError as error:
        return Cell(*names, refused=error.errors()[0]["msg"])
    if config.informed:
        return Cell(*names, refused="drawn updates have no moments to take Fisher information from")
    least = config.aggregator().least()
    if clients < least:
        return Cell(*names, refused=f"it needs {least} clients")
    return Cell(*names, judge(config, attack))
