"""Runs from start to end: training, resuming and evaluating, each in a run directory."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from envs.flight import record
from envs.flight_file import pack_flights
from envs.registry import make
from qmarl import checkpoint as checkpoints
from qmarl.errors import ConfigurationError, QmarlError
from qmarl.seeding import seed_for, stream
from qmarl.types import Array, Params
from trainers.build import Parts, build, make_rounds
from trainers.config import ExperimentConfig, load_experiment
from trainers.distributed import Executor, ExecutorConfig, greet, make_executor
from trainers.evaluate import Site, flat, held_out, matches, play, summary
from trainers.gap import Outing, at_home, elsewhere, evaluated
from trainers.interrupt import RunInterruptedError, interruptible
from trainers.link_log import LinkLog
from trainers.logger import Logger
from trainers.model import describe, headline
from trainers.origin import Origin
from trainers.participation_log import ParticipationLog
from trainers.plain import finite
from trainers.private_runs import privacy_notes
from trainers.rollout import Seat, Team
from trainers.round_log import RoundLog
from trainers.rundir import RunDirectory
from trainers.secure_links import Links
from trainers.sinks import check_sinks, open_sinks
from trainers.state import TrainingState
from trainers.trainer import Trainer, Witness

if TYPE_CHECKING:
    from envs.world import View
    from trainers.progress import Progress

_Plan = tuple[Mapping[str, Seat], Sequence[Site], int, int, bool]
"""Seats, sites, episodes, seed, and whether the likeliest action is taken."""


def train(
    config: ExperimentConfig, *, source: str, console: Progress, origin: Path | None = None
) -> Path:
    """Trains from the beginning in a new run directory, and evaluates what was best.

    Args:
        config: The experiment.
        source: The configuration file's text, kept beside the resolved one.
        console: Shows progress.
        origin: Run whose best parameters are the first ones, rather than random numbers.

    Returns:
        The run directory.

    Raises:
        ConfigurationError: Parts do not fit together.
        RunError: The directory cannot be written, or learning diverged.
        RunInterruptedError: A signal ended the run; a checkpoint was written.
    """
    greet(config.executor)
    check_sinks(config.logging.sinks)
    begun = None if origin is None else Origin.read(origin)
    parts = build(config, begun)
    notes = privacy_notes(parts.federations, config.rounds)
    with closing(make_executor(config.executor)) as executor:
        run = RunDirectory.create(config, source)
        for sentence in notes:
            console.note(sentence)
        if begun is not None:
            begun.keep(run)
            for sentence in begun.remarks(parts.config, parts.start):
                console.note(sentence)
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
    greet(config.executor)
    check_sinks(config.logging.sinks)
    state = TrainingState.from_checkpoint(loaded)
    parts = build(config, Origin.kept(directory))
    with closing(make_executor(config.executor)) as executor:
        return _go(parts, executor, directory, state, console)


def _go(
    parts: Parts, executor: Executor, run: RunDirectory, state: TrainingState, console: Progress
) -> Path:
    """Trains from ``state`` on with the run directory locked; whatever happens, a state is kept."""
    config, reached = parts.config, deque([state], maxlen=1)
    with run.locked(), _logger(run, config, state, console) as logger, interruptible():
        try:
            model = describe(parts.groups, config.actor)
            run.write_model(model)
            run.set_status("running", state.round)
            console.start(config.rounds, headline(config, model))
            log = RoundLog(run, state.round) if parts.federations else None
            witness = _witness(run, config, state.round)
            links = _logged(parts.links, run, state.round)
            trainer = _trainer(parts, run, executor, logger, console, log, witness, links)
            reason = trainer.run(state, reached.append)
            if reason:
                console.note(f"finished after {reached[-1].round} rounds: {reason}")
            _finish(run, config, executor, reached[-1].round, reason)
        except BaseException as error:
            _leave(run, config, reached[-1], error, console)
            raise
    return run.path


def _logger(
    run: RunDirectory, config: ExperimentConfig, state: TrainingState, console: Progress
) -> Logger:
    try:
        sinks = open_sinks(run.path, config, console.note)
    except ConfigurationError:
        run.set_status("failed", state.round)
        raise
    return Logger(run, config.logging.tensorboard, state.round, sinks)


def _trainer(
    parts: Parts,
    run: RunDirectory,
    executor: Executor,
    logger: Logger,
    console: Progress,
    log: RoundLog | None,
    witness: Witness | None,
    links: Links | None,
) -> Trainer:
    config, judged = parts.config, parts.config.evaluation
    seed = seed_for(config.seed, "validation")

    def judge(params: Mapping[str, Params]) -> dict[str, float]:
        teams = parts.sites(params)
        scores = play(
            config.env,
            parts.seats,
            teams,
            judged.episodes,
            seed,
            judged.greedy,
            executor=executor,
            shards=judged.shards,
        )
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
        witness=witness,
        links=links,
    )


def _logged(links: Links | None, run: RunDirectory, first_round: int) -> Links | None:
    """The links, with a log of what happens on them."""
    return None if links is None else replace(links, note=LinkLog(run, first_round).append)


def _witness(run: RunDirectory, config: ExperimentConfig, first_round: int) -> Witness | None:
    """Writes down who came, where that depends on the clock."""
    federation = config.federation
    timed = federation.round_timeout_s is not None or federation.round_arrivals is not None
    return ParticipationLog(run, first_round).append if timed else None


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


def _finish(
    run: RunDirectory, config: ExperimentConfig, executor: Executor, rounds: int, reason: str
) -> None:
    """Evaluates the best parameters on held-out episodes and shows a flight."""
    judged = config.evaluation
    visible = make(config.env, 1).spec.arena is not None
    evaluate(
        run.path,
        episodes=judged.final_episodes,
        greedy=judged.greedy,
        gif=visible,
        name="final",
        executor=executor,
    )
    run.set_status("finished", rounds, reason)


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
    executor: Executor | None = None,
    keep_flights: bool = False,
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
        executor: Where the episodes are played; by default here, or where an override says: a
            run, which may be a stranger's, never says which cluster we join.
        keep_flights: Whether all flights are written down, into ``media/flights.npz``.

    Returns:
        ``return``, ``success`` and what else the world scores, each ``{mean, low, high}`` with a
        95 % bootstrap interval over episodes; then how it was obtained, damaged checkpoints that
        were passed over as ``skipped``, and the ``gap`` where overrides lead into a simulator.

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
    plan = (parts.seats, teams, episodes, seed, greedy)
    scores, written = _played(directory, config, overrides, plan, executor, keep_flights)
    manner = "greedy" if greedy else "stochastic"
    facts = {"episodes": episodes, "seed": seed, "policy": manner, "round": state.round}
    told = {"overrides": list(overrides), "skipped": list(which.skipped)}
    result: dict[str, Any] = {**summary(scores), **facts, **told}
    name = (
        name
        or f"seed{seed}-episodes{episodes}-{manner}{'-airsim' if elsewhere(config.env) else ''}"
    )
    directory.write(f"eval/{name}.json", json.dumps(finite(result), indent=1))
    result |= written
    if gif:
        team = Team(parts.seats, teams[0])
        result["gif"] = str(_fly(directory, config, team, seed, greedy))
    return result


def _played(
    directory: RunDirectory,
    config: ExperimentConfig,
    overrides: Sequence[str],
    plan: _Plan,
    executor: Executor | None,
    keep: bool,
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Scores of the episodes; and what is told of flights that were written down."""
    if not keep and not elsewhere(config.env):
        shards = config.evaluation.shards
        if executor is not None:
            return play(config.env, *plan, executor=executor, shards=shards), {}
        named = any(text.partition("=")[0].split(".")[0] == "executor" for text in overrides)
        with closing(make_executor(config.executor if named else ExecutorConfig())) as own:
            return play(config.env, *plan, executor=own, shards=shards), {}
    home = load_experiment(directory.resolved_config, at_home(overrides))
    flown, gap = evaluated(config, home, lambda env: matches(env, *plan))
    return flown.scores, _flown(directory, flown, gap, keep)


def _flown(
    directory: RunDirectory, flown: Outing, gap: dict[str, Any] | None, keep: bool
) -> dict[str, Any]:
    """Writes down what was flown; returns what is told of it."""
    told: dict[str, Any] = {}
    if keep:
        told["flights"] = str(directory.write("media/flights.npz", pack_flights(flown.flights)))
    if gap is not None:
        directory.write("gap.json", json.dumps(finite(gap)))
        told["gap"] = {name: part for name, part in gap.items() if name != "episodes"}
    return told


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

    with closing(world):
        flight = record(world, policy, held_out(seed))
    return save_gif(flight, directory.media / "flight.gif", title=config.name)
