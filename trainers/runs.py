"""Runs from start to end: training, resuming and evaluating, each in a run directory."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from envs.flight import record
from envs.registry import make
from qmarl import checkpoint as checkpoints
from qmarl.errors import ConfigurationError, QmarlError
from qmarl.seeding import seed_for, stream
from qmarl.types import Array, Params
from trainers.build import Parts, build, make_rounds
from trainers.config import ExperimentConfig, load_experiment
from trainers.distributed import Executor, make_executor
from trainers.evaluate import flat, held_out, play, summary
from trainers.interrupt import RunInterruptedError, interruptible
from trainers.logger import Logger
from trainers.model import describe, headline
from trainers.plain import finite
from trainers.rollout import Team
from trainers.round_log import RoundLog
from trainers.rundir import RunDirectory
from trainers.state import TrainingState
from trainers.trainer import Trainer

if TYPE_CHECKING:
    from envs.world import View
    from trainers.progress import Progress


def train(config: ExperimentConfig, *, source: str, console: Progress) -> Path:
    """Trains from the beginning in a new run directory, and evaluates what was best.

    Args:
        config: The experiment.
        source: The configuration file's text, kept beside the resolved one.
        console: Shows progress.

    Returns:
        The run directory.

    Raises:
        ConfigurationError: Parts do not fit together.
        RunError: The directory cannot be written, or learning diverged.
        RunInterruptedError: A signal ended the run; a checkpoint was written.
    """
    parts = build(config)
    with closing(make_executor(config.executor)) as executor:
        run = RunDirectory.create(config, source)
        return _go(parts, executor, run, parts.start, console)


def resume(run: Path, console: Progress) -> Path:
    """Goes on with a run from its last good checkpoint, to the bits it would have had.

    Args:
        run: The run directory.
        console: Shows progress.

    Raises:
        RunError: The directory is not a run, is locked, or has no usable checkpoint.
    """
    directory = RunDirectory.open(run)
    config = directory.config(ExperimentConfig)
    with directory.locked():  # first, because a run in use is told as such, whatever it holds
        loaded = checkpoints.load(directory.checkpoints)
    for skipped in loaded.skipped:
        console.note(f"passed over a damaged checkpoint: {skipped}")
    directory.probe()
    state = TrainingState.from_checkpoint(loaded)
    parts = build(config)
    with closing(make_executor(config.executor)) as executor:
        return _go(parts, executor, directory, state, console)


def _go(
    parts: Parts, executor: Executor, run: RunDirectory, state: TrainingState, console: Progress
) -> Path:
    """Trains from ``state`` on with the run directory locked; whatever happens, a state is kept."""
    config, reached = parts.config, deque([state], maxlen=1)
    with run.locked(), _logger(run, config, state) as logger, interruptible():
        try:
            model = describe(parts.groups, config.actor)
            run.write_model(model)
            run.set_status("running", state.round)
            console.start(config.rounds, headline(config, model))
            log = RoundLog(run, state.round) if parts.federations else None
            trainer = _trainer(parts, run, executor, logger, console, log)
            trainer.run(state, reached.append)
            _finish(run, config)
        except BaseException as error:
            _leave(run, config, reached[-1], error, console)
            raise
    return run.path


def _logger(run: RunDirectory, config: ExperimentConfig, state: TrainingState) -> Logger:
    return Logger(run, config.logging.tensorboard, state.round)


def _trainer(
    parts: Parts,
    run: RunDirectory,
    executor: Executor,
    logger: Logger,
    console: Progress,
    log: RoundLog | None,
) -> Trainer:
    config, judged = parts.config, parts.config.evaluation
    seed = seed_for(config.seed, "validation")

    def judge(params: Mapping[str, Params]) -> dict[str, float]:
        teams = parts.sites(params)
        scores = play(config.env, parts.seats, teams, judged.episodes, seed, judged.greedy)
        return flat(summary(scores))

    def report(number: int, metrics: dict[str, float]) -> None:
        logger.log(number, metrics)
        console.round({"round": number} | metrics)

    return Trainer(
        rounds=make_rounds(parts, executor),
        federations=parts.federations,
        evaluate=judge,
        keep=lambda state: _keep(run, config, state),
        report=report,
        total=config.rounds,
        evaluate_every=judged.every,
        keep_every=config.logging.checkpoint_every,
        note=log.append if log is not None else None,
    )


def _keep(run: RunDirectory, config: ExperimentConfig, state: TrainingState) -> None:
    arrays, meta, keep = state.arrays(), state.meta(), config.logging.keep
    checkpoints.save(run.checkpoints, state.round, arrays, meta, keep, state.is_best)


def _leave(
    run: RunDirectory,
    config: ExperimentConfig,
    state: TrainingState,
    error: BaseException,
    console: Progress,
) -> None:
    """Keeps the last complete round of a run that ends early, unless its checkpoint is there.

    What fails here is only noted: the user must read the error that ended the run.
    """
    saved = run.checkpoints / f"step-{state.round:08d}"
    interrupted = isinstance(error, RunInterruptedError)
    try:
        if not saved.is_dir():
            _keep(run, config, state)
        run.set_status("interrupted" if interrupted else "failed", state.round)
    except (QmarlError, OSError) as second:
        console.note(f"the end of the run could not be written down: {second}")


def _finish(run: RunDirectory, config: ExperimentConfig) -> None:
    """Evaluates the best parameters on held-out episodes and shows a flight."""
    judged = config.evaluation
    visible = make(config.env, 1).spec.arena is not None
    evaluate(
        run.path,
        episodes=judged.final_episodes,
        greedy=judged.greedy,
        gif=visible,
        name="final",
    )
    run.set_status("finished", config.rounds)


def evaluate(
    run: Path,
    *,
    episodes: int = 200,
    seed: int = 0,
    greedy: bool = True,
    overrides: Sequence[str] = (),
    gif: bool = False,
    checkpoint: str = "best",
    name: str = "",
) -> dict[str, Any]:
    """Plays frozen parameters on held-out episodes.

    Args:
        run: The run directory.
        episodes: How many.
        seed: Seed of the held-out episodes; no training uses their streams.
        greedy: Whether the likeliest action is taken, rather than one drawn from the policy.
        overrides: Changes of the run's configuration, ``a.b=value``.
        gif: Whether the first episode is also drawn, into ``media/flight.gif``.
        checkpoint: ``best``, ``latest`` or a step number.
        name: Of the file in ``eval/``; by default made of seed, episodes and manner.

    Returns:
        ``return``, ``success``, ``collision`` and what else the world scores, each ``{mean, low,
        high}`` with a 95 % bootstrap interval over episodes; then how it was obtained, with
        the damaged checkpoints that were passed over as ``skipped``.

    Raises:
        ConfigurationError: An override does not fit the run.
        RunError: The directory is not a run, or has no usable checkpoint.
    """
    directory = RunDirectory.open(run)
    config = load_experiment(directory.resolved_config, overrides)
    parts = build(config)
    which = checkpoints.load(directory.checkpoints, _which(checkpoint))
    state = TrainingState.from_checkpoint(which)
    teams = parts.sites(state.params)
    scores = play(config.env, parts.seats, teams, episodes, seed, greedy)
    manner = "greedy" if greedy else "stochastic"
    facts = {"episodes": episodes, "seed": seed, "policy": manner, "round": state.round}
    told = {"overrides": list(overrides), "skipped": list(which.skipped)}
    result: dict[str, Any] = {**summary(scores), **facts, **told}
    name = name or f"seed{seed}-episodes{episodes}-{manner}"
    directory.write(f"eval/{name}.json", json.dumps(finite(result), indent=1))
    if gif:
        team = Team(parts.seats, teams[0])
        result["gif"] = str(_fly(directory, config, team, seed, greedy))
    return result


def _which(checkpoint: str) -> int | Literal["latest", "best"]:
    words: dict[str, Literal["latest", "best"]] = {"best": "best", "latest": "latest"}
    if checkpoint in words:
        return words[checkpoint]
    if checkpoint.isdigit():
        return int(checkpoint)
    raise ConfigurationError(f"checkpoint: 'best', 'latest' or a step number, got '{checkpoint}'")


def _fly(
    directory: RunDirectory, config: ExperimentConfig, team: Team, seed: int, greedy: bool
) -> Path:
    """Draws the first held-out episode."""
    from envs.render import save_gif

    world = make(config.env, 1)
    rng = stream(seed, "flight")

    def policy(view: View) -> Array:
        return team.act(view, None if greedy else rng)

    flight = record(world, policy, held_out(seed))
    return save_gif(flight, directory.media / "flight.gif", title=config.name)
