"""Many runs of one experiment: every combination of some settings, on any executor, taken up again.

A run of a sweep is one unit of work. The same command with the same file finds the same directory,
so what is finished is not done again and what was interrupted goes on.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from qmarl.errors import ConfigurationError, QmarlError
from qmarl.yaml_source import Origin, Problem, UnreadableError, read_text
from trainers.config import ExperimentConfig, load_experiment
from trainers.distributed import ExecutorConfig, make_executor
from trainers.plain import finite
from trainers.progress import Progress, SilentProgress
from trainers.rundir import RunDirectory, told
from trainers.statistics import Interval, bootstrap

MOST_RUNS = 10_000
"""More combinations than this are refused: it is a slip of the hand."""

HEADLINES = ("success", "return", "collision")
"""Measures of a world that a person looks at first."""

_SEED = "seed"
_NOT_SWEPT = ("name", "executor", "logging", "preset", "presets")
_MANY = 8
_ROUNDS_OF_WORKERS = 4  # enough for a long run not to keep all workers waiting


class Axis(NamedTuple):
    """A setting and the values that it takes, each as JSON, which YAML reads."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One run of a sweep: a unit of work.

    Attributes:
        config: The experiment.
        source: The configuration file's text.
        settings: Value of each axis, as plain data.
    """

    config: ExperimentConfig
    source: str
    settings: dict[str, Any]

    @property
    def name(self) -> str:
        """The settings in short, for people."""
        return words(self.settings)

    @property
    def home(self) -> Path:
        """Directory of the run's directory."""
        return Path(self.config.logging.directory) / self.config.name


class Outcome(NamedTuple):
    """What became of a run.

    Attributes:
        settings: Value of each axis.
        run: Its directory, empty if it never had one.
        scores: Means of its final evaluation by measure; empty if it failed.
        failure: Why it failed; empty if it did not.
    """

    settings: dict[str, Any]
    run: str
    scores: dict[str, float]
    failure: str


class Row(NamedTuple):
    """Runs that differ in their seeds alone.

    Attributes:
        settings: Value of every other axis.
        seeds: Number of runs that came to their end.
        scores: Mean over seeds of each measure, with its 95 % bootstrap interval.
        failures: Sentences about runs that did not.
    """

    settings: dict[str, Any]
    seeds: int
    scores: dict[str, Interval]
    failures: tuple[str, ...]


def axes(overrides: Sequence[str]) -> tuple[list[Axis], list[str]]:
    """Parts the overrides whose value is a list, which are axes, from the plain ones.

    A setting that is itself a list takes a list of lists.

    Raises:
        ConfigurationError: A list is empty or names a value twice, or the same key comes twice.

    >>> axes(["seed=[0, 1]", "rounds=5"])
    ([Axis(key='seed', values=('0', '1'))], ['rounds=5'])
    """
    found, plain = [], []
    for text in overrides:
        key, _, value = text.partition("=")
        values = _listed(text, value)
        if values is None:
            plain.append(text)
        else:
            found.append(Axis(key.strip(), values))
    keys = [axis.key for axis in found]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigurationError(
                f"sweep: '{key}' is given twice; name all its values in one list"
            )
    return found, plain


def cells(path: Path, overrides: Sequence[str]) -> list[Cell]:
    """Every combination of the axes as an experiment, checked before the first one runs.

    Args:
        path: Configuration file.
        overrides: Axes, ``key=[a, b]``, and plain settings, ``key=a``.

    Raises:
        ConfigurationError: No axis is named, there are too many combinations, or one of them is no
            valid experiment.
    """
    across, plain = axes(overrides)
    if not across:
        raise ConfigurationError(
            "sweep: name a list of values for at least one setting, such as 'seed=[0,1,2]'"
        )
    count = math.prod(len(axis.values) for axis in across)
    if count > MOST_RUNS:
        raise ConfigurationError(f"sweep: {count} combinations are more than {MOST_RUNS}")
    source = path.read_text(encoding="utf-8-sig") if path.is_file() else ""
    home = _home(load_experiment(path, plain), across)
    keys = [axis.key for axis in across]
    grid = itertools.product(*(axis.values for axis in across))
    made = [dict(zip(keys, values, strict=True)) for values in grid]
    return [_cell(path, plain, source, home, place, one) for place, one in enumerate(made)]


def sweep(made: Sequence[Cell], config: ExecutorConfig, console: Progress) -> list[Outcome]:
    """Runs what is not finished yet; a run that fails does not stop the others.

    Args:
        made: The runs, as :func:`cells` makes them.
        config: Where they run; on a cluster the directory of the runs has to be shared.
        console: Told of every run's end.

    Returns:
        What became of each, in order.
    """
    ended = {cell.name: known for cell in made if (known := _finished(cell))}
    todo = [cell for cell in made if cell.name not in ended]
    if ended:
        console.note(f"{len(ended)} of {len(made)} runs are finished already")
    with closing(make_executor(config)) as executor:
        for batch in _batches(todo, config):
            for outcome in executor.map(run_cell, [(cell,) for cell in batch]):
                console.note(_told(outcome))
                ended[words(outcome.settings)] = outcome
    return [ended[cell.name] for cell in made]


def table(outcomes: Sequence[Outcome]) -> list[Row]:
    """Joins runs that differ in their seeds alone."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(json.dumps(_without_seed(outcome.settings)), []).append(outcome)
    return [_row(json.loads(key), group) for key, group in groups.items()]


def write(home: Path, outcomes: Sequence[Outcome]) -> Path:
    """Writes ``sweep.json``: every run and every row of the table.

    Raises:
        RunError: It cannot be written.
    """
    data = {
        "runs": [outcome._asdict() for outcome in outcomes],
        "table": [row._asdict() for row in table(outcomes)],
    }
    return RunDirectory(home).write("sweep.json", json.dumps(finite(data), indent=1))


def words(settings: dict[str, Any]) -> str:
    """Settings in one line, for people.

    >>> words({"actor.kind": "mlp", "seed": 0})
    'actor.kind=mlp seed=0'
    """
    texts = {key: v if isinstance(v, str) else json.dumps(v) for key, v in settings.items()}
    return " ".join(f"{key}={text}" for key, text in texts.items())


def run_cell(cell: Cell) -> Outcome:
    """Trains one run of a sweep or goes on with it, and says what became of it."""
    from trainers import runs
    from trainers.report import write_report

    begun = _begun(cell)
    try:
        if begun is None:
            run = runs.train(cell.config, source=cell.source, console=SilentProgress())
        else:
            run = runs.resume(begun, SilentProgress())
        write_report(run)
    except QmarlError as error:
        return Outcome(cell.settings, str(_begun(cell) or ""), {}, str(error))
    return Outcome(cell.settings, str(run), _scores(run), "")


def _listed(text: str, value: str) -> tuple[str, ...] | None:
    """The values of an axis as JSON; ``None`` where the value is no list."""
    problems: list[Problem] = []
    try:
        plain = read_text(value, Origin(f"override {text!r}"), problems).plain()
    except UnreadableError:
        return None  # told with everything else when the file is read
    if problems or not isinstance(plain, list):
        return None
    values = tuple(json.dumps(each) for each in plain)
    if len(set(values)) < max(len(values), 1):
        raise ConfigurationError(f"sweep: '{text}' names no value, or one of them twice")
    return values


def _home(config: ExperimentConfig, across: Sequence[Axis]) -> Path:
    """The sweep's directory, named after everything that makes its results."""
    told = [config.model_dump(mode="json", exclude={"executor"}), across]
    digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:8]
    return Path(config.logging.directory) / config.name / f"sweep-{digest}"


def _cell(
    path: Path, plain: Sequence[str], source: str, home: Path, place: int, chosen: dict[str, str]
) -> Cell:
    if wrong := [key for key in chosen if key.split(".")[0] in _NOT_SWEPT]:
        raise ConfigurationError(f"sweep: '{wrong[0]}' changes no result; give it one value")
    overrides = [*plain, *(f"{key}={value}" for key, value in chosen.items())]
    settings = {key: json.loads(value) for key, value in chosen.items()}
    short = re.sub(r"[^A-Za-z0-9.]+", "-", words(settings)).strip("-")[:80]
    config = load_experiment(path, overrides)
    logging = config.logging.model_copy(update={"directory": str(home)})
    here = {"name": f"{place:03}-{short}", "logging": logging, "executor": ExecutorConfig()}
    return Cell(config.model_copy(update=here), source, settings)


def _batches(todo: Sequence[Cell], executor: ExecutorConfig) -> Iterator[Sequence[Cell]]:
    """Runs that are handed over together: one here, several for each worker on a cluster."""
    workers = executor.workers if isinstance(executor.workers, int) else _MANY
    size = 1 if executor.kind == "inline" else _ROUNDS_OF_WORKERS * workers
    for first in range(0, len(todo), size):
        yield todo[first : first + size]


def _begun(cell: Cell) -> Path | None:
    """The run's directory, if a checkpoint in it lets it go on."""
    latest = cell.home / "latest"
    return latest.resolve() if any((latest / "checkpoints").glob("step-*")) else None


def _finished(cell: Cell) -> Outcome | None:
    run = _begun(cell)
    if run is None or RunDirectory.open(run).status.state != "finished":
        return None
    return Outcome(cell.settings, str(run), _scores(run), "")


def _scores(run: Path) -> dict[str, float]:
    """Means of the final evaluation."""
    with told(run):
        data = json.loads((run / "eval" / "final.json").read_text())
    return {name: one["mean"] for name, one in data.items() if _is_score(one)}


def _is_score(one: object) -> bool:
    return isinstance(one, dict) and isinstance(one.get("mean"), float)


def _told(outcome: Outcome) -> str:
    if outcome.failure:
        return f"{words(outcome.settings)}: failed: {outcome.failure}"
    shown = [f"{k} {v:.3f}" for k, v in outcome.scores.items() if k in HEADLINES]
    return f"{words(outcome.settings)}: {', '.join(shown)}"


def _without_seed(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != _SEED}


def _row(settings: dict[str, Any], group: Sequence[Outcome]) -> Row:
    ended = [outcome.scores for outcome in group if not outcome.failure]
    measures = [name for name in ended[0] if all(name in one for one in ended)] if ended else []
    scores = {name: bootstrap(np.array([one[name] for one in ended])) for name in measures}
    failures = tuple(_told(outcome) for outcome in group if outcome.failure)
    return Row(settings, len(ended), scores, failures)
