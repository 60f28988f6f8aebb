"""Other places that a run's metrics go to, by name: Weights & Biases, MLflow, trackio.

None of their packages is imported unless it is named. What they do is no part of a run: one that
fails while a run trains is left out from then on, with a note.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, final

from qmarl.errors import ConfigurationError

if TYPE_CHECKING:
    from trainers.config import ExperimentConfig

Numbers = Mapping[str, float]
"""A round's metrics by name, finite ones alone."""


class Sink(Protocol):
    """Takes the metrics of rounds to another place."""

    def log(self, round_number: int, numbers: Numbers) -> None:
        """Takes the metrics of one round."""
        ...

    def close(self) -> None:
        """Hands over what is not handed over yet."""
        ...


@final
class WandbSink:
    """Weights & Biases; ``WANDB_MODE=offline`` keeps everything here, to be sent later.

    Args:
        run: The run's directory. The package's own files lie beside the runs, because it makes
            links, which a run directory must not hold.
        config: The resolved configuration.
    """

    def __init__(self, run: Path, config: Mapping[str, Any]) -> None:
        self._run = importlib.import_module("wandb").init(
            project=run.parent.name,
            name=run.name,
            id=run.name,
            dir=str(run.parent.parent),
            config=dict(config),
            resume="allow",
        )

    def log(self, round_number: int, numbers: Numbers) -> None:
        """Logs a round as a step."""
        self._run.log(dict(numbers), step=round_number)

    def close(self) -> None:
        """Ends the run there."""
        self._run.finish()


@final
class MlflowSink:
    """MLflow; ``MLFLOW_TRACKING_URI`` says where, by default MLflow's own choice.

    Args:
        run: The run's directory.
        config: The resolved configuration.
    """

    def __init__(self, run: Path, config: Mapping[str, Any]) -> None:
        self._mlflow = importlib.import_module("mlflow")
        self._client = self._mlflow.MlflowClient()
        self._id = self._taken_up(run) or self._new(run, config)

    def log(self, round_number: int, numbers: Numbers) -> None:
        """Logs a round as a step."""
        entity, now = self._mlflow.entities.Metric, int(1000 * time.time())
        metrics = [entity(name, value, now, round_number) for name, value in numbers.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def close(self) -> None:
        """Ends the run there."""
        self._client.set_terminated(self._id)

    def _taken_up(self, run: Path) -> str | None:
        """The run that an earlier attempt began."""
        found = self._client.get_experiment_by_name(run.parent.name)
        if found is None:
            return None
        wanted = f"tags.`qmarl.run` = '{run.name}'"
        same = self._client.search_runs([found.experiment_id], wanted, max_results=1)
        return str(same[0].info.run_id) if same else None

    def _new(self, run: Path, config: Mapping[str, Any]) -> str:
        name = run.parent.name
        found = self._client.get_experiment_by_name(name)
        home = found.experiment_id if found else self._client.create_experiment(name)
        made = self._client.create_run(home, run_name=run.name, tags={"qmarl.run": run.name})
        for key, value in _flat(config).items():
            self._client.log_param(made.info.run_id, key, str(value)[:500])
        return str(made.info.run_id)


@final
class TrackioSink:
    """trackio, which keeps everything on this machine; ``TRACKIO_DIR`` says where.

    Args:
        run: The run's directory.
        config: The resolved configuration.
    """

    def __init__(self, run: Path, config: Mapping[str, Any]) -> None:
        self._run = importlib.import_module("trackio").init(
            project=run.parent.name,
            name=run.name,
            config=dict(config),
            resume="allow",
            embed=False,
            auto_log_cpu=False,
            auto_log_gpu=False,
        )

    def log(self, round_number: int, numbers: Numbers) -> None:
        """Logs a round as a step."""
        self._run.log(dict(numbers), step=round_number)

    def close(self) -> None:
        """Ends the run there."""
        self._run.finish()


Maker = Callable[[Path, Mapping[str, Any]], Sink]
"""Opens a sink for a run's directory and configuration."""

SINKS: dict[str, Maker] = {
    "wandb": WandbSink,
    "mlflow": MlflowSink,
    "trackio": TrackioSink,
}
"""Every sink by its name in ``logging.sinks``, which is also its package's and its extra's."""


@final
class Sinks:
    """The sinks of a run, of which each may fail without harm to it.

    Args:
        run: The run's directory.
        config: The resolved configuration.
        makers: What opens each sink, by its name.
        note: Told of what failed.

    Raises:
        ConfigurationError: A sink cannot be opened.
    """

    def __init__(
        self,
        run: Path,
        config: Mapping[str, Any],
        makers: Mapping[str, Maker],
        note: Callable[[str], None],
    ) -> None:
        self._note = note
        self._open: dict[str, Sink] = {}
        for name, make in makers.items():
            try:
                with redirect_stdout(sys.stderr):  # stdout may be read by a machine
                    self._open[name] = make(run.resolve(), config)
            except Exception as error:
                self.close()
                raise ConfigurationError(
                    f"logging.sinks: '{name}' cannot be opened: {_first(error)}"
                ) from error

    def log(self, round_number: int, numbers: Mapping[str, float | None]) -> None:
        """Hands a round's metrics to every sink."""
        plain = {name: value for name, value in numbers.items() if value is not None}
        for name, sink in list(self._open.items()):
            self._tried(name, partial(sink.log, round_number, plain))

    def close(self) -> None:
        """Closes every sink."""
        for name, sink in list(self._open.items()):
            self._tried(name, sink.close)
        self._open = {}

    def _tried(self, name: str, work: Callable[[], None]) -> None:
        try:
            with redirect_stdout(sys.stderr):
                work()
        except Exception as error:
            del self._open[name]
            self._note(f"'{name}' takes no more metrics: {_first(error)}")


def open_sinks(run: Path, config: ExperimentConfig, note: Callable[[str], None]) -> Sinks:
    """Opens the sinks that a run names, and Ray's metrics where Ray runs it.

    Args:
        run: The run's directory.
        config: The experiment.
        note: Told of what fails later.

    Raises:
        ConfigurationError: A sink cannot be opened.
    """
    makers: dict[str, Maker] = {name: SINKS[name] for name in config.logging.sinks}
    if config.executor.kind == "ray":
        from trainers.integrations.ray_metrics import RaySink

        makers["ray"] = RaySink
    return Sinks(run, config.model_dump(mode="json"), makers, note)


def check_sinks(names: Sequence[str]) -> None:
    """Makes sure that the packages of sinks are here, before any run begins.

    Raises:
        ConfigurationError: One is not; it names the extra that brings it.
    """
    for name in names:
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            raise ConfigurationError(
                f"logging.sinks: '{name}' is not installed; install qmarl[{name}]"
            )


def _first(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _flat(config: Mapping[str, Any], start: str = "") -> dict[str, Any]:
    """A nested map as one of dotted keys.

    >>> _flat({"env": {"id": "chsh"}, "seed": 1})
    {'env.id': 'chsh', 'seed': 1}
    """
    flat: dict[str, Any] = {}
    for key, value in config.items():
        inner = isinstance(value, Mapping) and value
        flat |= _flat(value, f"{start}{key}.") if inner else {f"{start}{key}": value}
    return flat
