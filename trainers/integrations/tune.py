"""Ray Tune: an experiment as a function trainable, whose settings Tune chooses (extra ``tune``)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from qmarl.errors import ConfigurationError
from trainers.config import ExperimentConfig, load_experiment

Trainable = Callable[[dict[str, Any]], None]
"""What ``ray.tune.Tuner`` takes."""


def trainable(config: Path, overrides: Sequence[str] = ()) -> Trainable:
    """Makes a trainable of an experiment.

    It reports every round's metrics by their names, with ``training_iteration`` counted by Tune,
    and at last ``final/success``, ``final/return`` and so on, from the evaluation on held-out
    episodes. A trial that Tune starts again goes on from its last checkpoint. Each trial trains
    inline, one unit of work as in ``qmarl sweep``; its run directory lies in the trial's.

    Args:
        config: Configuration file; its text travels to the trials.
        overrides: Settings of all trials, ``a.b=value``.

    Returns:
        A function of Tune's choices: values by dotted name, such as
        ``{"algorithm.learning_rate.angles": 0.01}``.

    Raises:
        ConfigurationError: The file is no valid experiment without Tune's choices.

    Example:
        .. code-block:: python

            from ray import tune
            from trainers.integrations.tune import trainable

            space = {"seed": tune.grid_search([0, 1]), "actor.kind": "mlp"}
            tune.Tuner(trainable(Path("configs/quickstart.yaml")), param_space=space).fit()
    """
    load_experiment(config, overrides)
    source = config.read_text(encoding="utf-8-sig")

    def trial(choices: dict[str, Any]) -> None:
        from ray import tune

        _train(source, overrides, choices, Path(tune.get_context().get_trial_dir()), tune.report)

    return trial


def _train(
    source: str,
    overrides: Sequence[str],
    choices: Mapping[str, Any],
    home: Path,
    report: Callable[[dict[str, Any]], None],
) -> None:
    """Trains one trial in its directory, or goes on with it."""
    from trainers import runs

    experiment = _experiment(source, [*overrides, *chosen(choices)], home)
    console = _Reporting(report)
    latest = home / "runs" / experiment.name / "latest"
    if any((latest / "checkpoints").glob("step-*")):
        run = runs.resume(latest.resolve(), console)
    else:
        run = runs.train(experiment, source=source, console=console)
    scores = json.loads((run / "eval" / "final.json").read_text())
    means = {f"final/{k}": v["mean"] for k, v in scores.items() if isinstance(v, dict)}
    report({**console.latest, **{name: mean for name, mean in means.items() if mean is not None}})


def chosen(choices: Mapping[str, Any]) -> list[str]:
    """Tune's choices as overrides.

    Raises:
        ConfigurationError: A choice is nested; settings have dotted names.

    >>> chosen({"seed": 1, "actor.kind": "mlp"})
    ['seed=1', 'actor.kind="mlp"']
    """
    for name, value in choices.items():
        if isinstance(value, Mapping):
            raise ConfigurationError(
                f"tune: '{name}' is nested; write '{name}.{next(iter(value), 'key')}' instead"
            )
    return [f"{name}={json.dumps(value)}" for name, value in choices.items()]


def _experiment(source: str, overrides: Sequence[str], home: Path) -> ExperimentConfig:
    path = home / "experiment.yaml"
    path.write_text(source, encoding="utf-8")
    own = [f"logging.directory={json.dumps(str(home / 'runs'))}", "executor=inline"]
    return load_experiment(path, [*overrides, *own])


@final
class _Reporting:
    """A progress display that tells Tune of each round."""

    def __init__(self, report: Callable[[dict[str, Any]], None]) -> None:
        self._report = report
        self.latest: dict[str, float] = {}

    def start(self, total_rounds: int, summary: Mapping[str, str]) -> None:
        """Tune shows what it chose."""

    def round(self, metrics: Mapping[str, float]) -> None:
        self.latest |= {name: value for name, value in metrics.items() if math.isfinite(value)}
        self._report(dict(self.latest))

    def note(self, message: str) -> None:
        """Goes to the trial's log."""
        print(f"note: {message}")

    def finish(self, run_dir: Path, report: Path | None) -> None:
        """The trial's directory holds the run."""

    def close(self) -> None:
        """Has nothing to close."""
