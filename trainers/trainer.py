"""The order of things, read this first: broadcast, collect, learn, federate, evaluate, keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from qmarl.federated.round_report import RoundReport
from qmarl.types import Array, Params
from trainers.federation import Federation
from trainers.rounds import Outcome, Rounds
from trainers.state import TrainingState

Evaluate = Callable[[Mapping[str, Params]], dict[str, float]]
"""Scores of the groups' parameters, as flat metrics."""
Keep = Callable[[TrainingState], None]
"""Writes a checkpoint."""
Report = Callable[[int, dict[str, float]], None]
"""Takes the metrics of a round."""
Note = Callable[[int, Mapping[str, RoundReport]], None]
"""Takes what happened in every group's federation in a round."""


@dataclass(frozen=True)
class Trainer:
    """Trains a team, from parts that come ready-made.

    Attributes:
        rounds: Plays a round: experience and learning.
        federations: The federated layer of every group that shares; without an entry, a group's
            learners stay apart.
        evaluate: Judges parameters on held-out worlds.
        keep: Writes checkpoints.
        report: Takes each round's metrics.
        total: Number of rounds.
        evaluate_every: Rounds between evaluations; 0 means only after the last.
        keep_every: Rounds between checkpoints.
        note: Takes what happened in every group's federation in a round.
    """

    rounds: Rounds
    federations: Mapping[str, Federation]
    evaluate: Evaluate
    keep: Keep
    report: Report
    total: int
    evaluate_every: int
    keep_every: int
    note: Note | None = None

    def run(self, state: TrainingState, completed: Callable[[TrainingState], None]) -> None:
        """Goes on from ``state`` to the last round.

        Args:
            state: Where to start.
            completed: Told of the state after each round, so that an interruption loses nothing.
        """
        for name, federation in self.federations.items():
            federation.restore(state.server.get(name))
        while state.round < self.total:
            started = perf_counter()
            state, metrics = self._round(state)
            state, scores = self._judge(state)
            metrics |= scores | {"clock/round_s": perf_counter() - started}
            metrics["clock/env_steps_per_s"] = metrics["round_env_steps"] / metrics["clock/round_s"]
            self.report(state.round - 1, metrics)
            completed(state)
            if state.is_best or self._due(state.round, self.keep_every):
                self.keep(state)

    def _round(self, state: TrainingState) -> tuple[TrainingState, dict[str, float]]:
        """One round: from parameters and moments to the next ones."""
        number = state.round
        start = {
            name: self.federations[name].broadcast(params, number)
            if name in self.federations
            else params
            for name, params in state.params.items()
        }
        present = {name for each in self.federations.values() for name in each.asked}
        who = present if self.federations else None
        outcome = self.rounds.play(start, state.moments, number, number / self.total, who)
        params = {name: learned.params for name, learned in outcome.learned.items()}
        moments = {name: learned.moments for name, learned in outcome.learned.items()}
        reports: dict[str, RoundReport] = {}
        started = perf_counter()
        for name, federation in self.federations.items():
            examples = outcome.learned[name].examples
            reports[name] = federation.gather(
                params[name], examples, number, moments[name], outcome.missed
            )
            params[name] = federation.joined(params[name])
        if self.note is not None and reports:
            self.note(number, reports)
        server = {name: each.state() for name, each in self.federations.items()}
        steps = state.env_steps + outcome.env_steps
        after = replace(
            state, round=number + 1, env_steps=steps, params=params, moments=moments, server=server
        )
        seconds = {"clock/federate_s": perf_counter() - started}
        return after, measured(outcome, reports, steps) | seconds

    def _judge(self, state: TrainingState) -> tuple[TrainingState, dict[str, float]]:
        """Evaluates when it is time, and notes when the parameters are the best so far."""
        if not self._due(state.round, self.evaluate_every):
            return state, {}
        scores = self.evaluate(state.params)
        score = scores.get("eval/success", scores["eval/return"])
        if state.best is None or score >= state.best:
            state = replace(state, best=score, best_round=state.round)
        return state, scores

    def _due(self, done: int, every: int) -> bool:
        return done == self.total or (every > 0 and done % every == 0)


def measured(
    outcome: Outcome, reports: Mapping[str, RoundReport], env_steps: int
) -> dict[str, float]:
    """A round's metrics, by the names that the metric glossary explains."""
    metrics: dict[str, float] = {
        "env_steps": env_steps,
        "round_env_steps": outcome.env_steps,
    }
    episodes = outcome.episodes
    metrics |= {f"episode/{name}": _mean(values) for name, values in episodes.items()}
    metrics["episodes"] = len(episodes["return"]) if episodes else 0
    for name, learned in outcome.learned.items():
        metrics |= {f"learn/{name}/{key}": value for key, value in learned.metrics.items()}
        if any(learned.traffic):
            metrics[f"split/{name}/bytes_up"] = learned.traffic.up
            metrics[f"split/{name}/bytes_down"] = learned.traffic.down
    for name, report in reports.items():
        told = federated(report)
        metrics |= {f"federation/{name}/{key}": value for key, value in told.items()}
    if outcome.device.executions:
        kinds = ("executions", "shots", "shifted")
        metrics |= {f"device/{kind}": getattr(outcome.device, kind) for kind in kinds}
    metrics |= {f"clock/{name}_s": value for name, value in outcome.seconds.items()}
    return metrics


def federated(report: RoundReport) -> dict[str, float]:
    """A round of one group's federation in numbers."""
    brought = report.contributions
    return {
        "asked": len(report.asked),
        "participants": len(report.participants),
        "rejected": len(report.rejected),
        "missing": len(report.missing),
        "kept": float(bool(report.kept)),
        "staleness": _mean(np.array([one.staleness for one in brought], np.float64)),
        "client_norm": _mean(np.array([one.norm for one in brought])),
        "similarity": _mean(np.array([one.similarity for one in brought])),
        "update_norm": report.update_norm,
        "bytes_up": report.bytes_up,
        "bytes_down": report.bytes_down,
    }


def _mean(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
