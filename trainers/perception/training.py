"""Federated training of a classifier: every seed a federation of its own, all learning at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qmarl.federated.aggregators import FedProx
from qmarl.federated.privacy_ledger import Spent
from qmarl.federated.round_report import RoundReport
from qmarl.federated.transport import InMemoryChannel
from qmarl.seeding import stream
from qmarl.types import Array, Params
from trainers.federation import Federation
from trainers.perception.classifier import Classifier, Minibatch, make_classifier
from trainers.perception.config import ClassificationConfig
from trainers.perception.poisoning import LabelBackdoor
from trainers.perception.samples import CLASSES, Samples, divided, load_samples
from trainers.private_runs import privacy_notes

GROUP = "classifier"
"""Name of the federation's group."""


@dataclass(frozen=True)
class Classification:
    """What a federated classifier came to.

    Attributes:
        seeds: The runs' seeds.
        accuracy: ``(seeds, rounds)`` share of the test samples that the server's parameters get
            right, after each round.
        triggered: ``(seeds,)`` the same at the end, of test samples with a backdoor's trigger that
            are of another class than its target; None without a backdoor.
        reports: What happened at each seed's server, one report a round.
        parameters: Trainable numbers.
        spent: What privacy has cost in each run, where it is counted; the same for every seed.
        ended: Why there were fewer rounds than asked for; empty if there were not.
    """

    seeds: tuple[int, ...]
    accuracy: Array
    triggered: Array | None
    reports: tuple[tuple[RoundReport, ...], ...]
    parameters: int
    spent: Spent | None = None
    ended: str = ""

    @property
    def final(self) -> Array:
        """Accuracies ``(seeds,)`` after the last round."""
        last: Array = self.accuracy[:, -1]
        return last

    def rejected(self) -> list[int]:
        """Updates that each seed's server refused."""
        return [sum(len(report.rejected) for report in reports) for reports in self.reports]


@dataclass(frozen=True)
class _Run:
    """One seed: its clients' samples, and the federation that they belong to."""

    seed: int
    shards: list[Samples]
    federation: Federation


def classify(config: ClassificationConfig) -> Classification:
    """Trains a classifier for every seed and tests it after every round.

    Raises:
        ConfigurationError: The clients or their samples are too few, or the privacy budget is.
        RunError: scikit-learn is not installed.
    """
    classifier = make_classifier(config.classifier)
    train, test = load_samples(config.data, config.classifier.qubits)
    runs = [_run(config, classifier, train, seed) for seed in config.seeds]
    params = _joined([_initial(config, classifier, seed) for seed in config.seeds])
    accuracy: list[Array] = []
    reports: list[list[RoundReport]] = []
    privacy_notes({GROUP: runs[0].federation}, config.rounds)
    for number in range(config.rounds):
        if runs[0].federation.ended:
            break
        params, told = _round(config, classifier, runs, params, number)
        reports.append(told)
        accuracy.append(classifier.correct(_servers(runs), test).mean(1))
    return Classification(
        config.seeds,
        np.stack(accuracy, 1),
        _triggered(config, classifier, runs, test),
        tuple(zip(*reports, strict=True)),
        sum(spec.size for spec in classifier.layout.values()),
        reports[-1][0].spent,
        runs[0].federation.ended if len(reports) < config.rounds else "",
    )


def _run(config: ClassificationConfig, classifier: Classifier, train: Samples, seed: int) -> _Run:
    least = config.classifier.minibatches
    rng = stream(seed, "split")
    places = divided(train.labels, config.clients, config.data.split, least, rng)
    shards = [
        _poisoned(config, client, train.at(place), seed)
        for client, place in zip(config.client_names, places, strict=True)
    ]
    federation = Federation(
        GROUP,
        config.client_names,
        classifier.layout,
        _initial(config, classifier, seed),
        config.federation.model_copy(update={"share": ("*",)}),
        InMemoryChannel(),
        seed,
    )
    return _Run(seed, shards, federation)


def _poisoned(config: ClassificationConfig, client: str, shard: Samples, seed: int) -> Samples:
    poisoning = config.poisoning
    if poisoning is None or client not in poisoning.clients:
        return shard
    return poisoning.poisoned(shard, CLASSES, stream(seed, "poison", client))


def _initial(config: ClassificationConfig, classifier: Classifier, seed: int) -> Params:
    """A seed's first parameters, the same for each of its clients: ``(clients, ...)``."""
    first = classifier.initial(stream(seed, "classifier"))
    return {name: np.stack([array] * config.clients) for name, array in first.items()}


def _round(
    config: ClassificationConfig,
    classifier: Classifier,
    runs: Sequence[_Run],
    params: Params,
    number: int,
) -> tuple[Params, list[RoundReport]]:
    """One round of every seed; the clients of all seeds are one stack of learners."""
    own = [_slice(params, place, config.clients) for place in range(len(runs))]
    start = [run.federation.broadcast(each, number) for run, each in zip(runs, own, strict=True)]
    strategy = config.federation.strategy
    mu = strategy.proximal_mu if isinstance(strategy, FedProx) else 0.0
    learned = classifier.learned(_joined(start), _minibatches(config, runs, number), mu)
    trained = [_slice(learned, place, config.clients) for place in range(len(runs))]
    section = config.classifier
    steps = np.full(config.clients, section.epochs * section.minibatches)  # all take as many
    told = [
        run.federation.gather(
            each, np.array([len(s.labels) for s in run.shards]), number, steps=steps
        )
        for run, each in zip(runs, trained, strict=True)
    ]
    after = [run.federation.joined(each) for run, each in zip(runs, trained, strict=True)]
    return _joined(after), told


def _minibatches(
    config: ClassificationConfig, runs: Sequence[_Run], number: int
) -> list[Minibatch]:
    """A round's minibatches, each client's samples in an order of its own."""
    orders = [
        (shard, stream(run.seed, "minibatch", number, client))
        for run in runs
        for client, shard in zip(config.client_names, run.shards, strict=True)
    ]
    parts = [
        [
            shard.at(index)
            for _ in range(config.classifier.epochs)
            for index in np.array_split(
                rng.permutation(len(shard.labels)), config.classifier.minibatches
            )
        ]
        for shard, rng in orders
    ]
    return [Minibatch.of(list(step)) for step in zip(*parts, strict=True)]


def _triggered(
    config: ClassificationConfig, classifier: Classifier, runs: Sequence[_Run], test: Samples
) -> Array | None:
    backdoor = config.poisoning
    if not isinstance(backdoor, LabelBackdoor):
        return None
    others = test.at(np.flatnonzero(test.labels != backdoor.target))
    stamped = Samples(backdoor.stamped(others.features), others.labels)
    right: Array = classifier.correct(_servers(runs), stamped).mean(1)
    return right


def _servers(runs: Sequence[_Run]) -> Params:
    """The servers' parameters, one learner for each seed."""
    servers = [run.federation.server.params for run in runs]
    return {name: np.stack([server[name] for server in servers]) for name in servers[0]}


def _slice(params: Params, place: int, clients: int) -> Params:
    rows = slice(place * clients, (place + 1) * clients)
    return {name: array[rows] for name, array in params.items()}


def _joined(parts: Sequence[Params]) -> Params:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
