"""The order of things, read this first: broadcast, collect, learn, federate, evaluate, keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from qmarl.federated.round_report import RoundReport
from qmarl.types import Array, Params
from trainers.federation import Federation
from trainers.participation_log import Attendance
from trainers.rounds import Outcome, Rounds
from trainers.secure_links import Links
from trainers.state import TrainingState

Evaluate = Callable[[Mapping[str, Params]], dict[str, float]]
"""Scores of the groups' parameters, as flat metrics."""
Keep = Callable[[TrainingState], None]
"""Writes a checkpoint."""
Report = Callable[[int, dict[str, float]], None]
"""Takes the metrics of a round."""
Note = Callable[[int, Mapping[str, RoundReport]], None]
"""Takes what happened in every group's federation in a round."""
Witness = Callable[[int, Attendance], None]
"""Takes which fleets came in a round."""


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
        witness: Takes which fleets came in a round.
        links: What protects the federations' messages.
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
    witness: Witness | None = None
    links: Links | None = None

    @property
    def ended(self) -> str:
        """Why no further round may follow, though some are left; empty if they may."""
        return next((each.ended for each in self.federations.values() if each.ended), "")

    def run(self, state: TrainingState, completed: Callable[[TrainingState], None]) -> str:
        """Goes on from ``state`` to the last round, or to the last one that may be played.

        Args:
            state: Where to start.
            completed: Told of the state after each round, so that an interruption loses nothing.

        Returns:
            Empty, or why the run ended before its last round.
        """
        for name, federation in self.federations.items():
            federation.restore(state.server.get(name))
        if self.links is not None:
            self.links.restore(state.links)
        while state.round < self.total and not self.ended:
            started = perf_counter()
            state, metrics = self._round(state)
            state, scores = self._judge(state)
            metrics |= scores | {"clock/round_s": perf_counter() - started}
            metrics["clock/env_steps_per_s"] = metrics["round_env_steps"] / metrics["clock/round_s"]
            self.report(state.round - 1, metrics)
            completed(state)
            if state.is_best or self._due(state.round, self.keep_every):
                self.keep(state)
        return self.ended if state.round < self.total else ""

    def _round(self, state: TrainingState) -> tuple[TrainingState, dict[str, float]]:
        """One round: from parameters and moments to the next ones."""
        number = state.round
        start = {
            name: self.federations[name].broadcast(params, number)
            if name in self.federations
            else params
            for name, params in state.params.items()
        }
        present = {name for each in self.federations.values() for name in each.present}
        who = present if self.federations else None
        at_work = {k: v for each in self.federations.values() for k, v in each.at_work.items()}
        progress = number / self.total
        outcome = self.rounds.play(start, state.moments, number, progress, who, at_work)
        if self.witness is not None:
            self.witness(number, Attendance(outcome.came, outcome.missed))
        params = {name: learned.params for name, learned in outcome.learned.items()}
        moments = {name: learned.moments for name, learned in outcome.learned.items()}
        reports: dict[str, RoundReport] = {}
        started = perf_counter()
        for name, federation in self.federations.items():
            learned = outcome.learned[name]
            reports[name] = federation.gather(
                params[name],
                learned.examples,
                number,
                moments[name],
                outcome.missed,
                learned.steps,
                outcome.at_work.keys(),
            )
            params[name] = federation.joined(params[name])
        if self.note is not None and reports:
            self.note(number, reports)
        hidden = any(each.hidden for each in reports.values())
        linked = self.links.end(number, hidden) if self.links is not None else {}
        after = replace(
            state,
            round=number + 1,
            env_steps=state.env_steps + outcome.env_steps,
            params=params,
            moments=moments,
            server={name: each.state() for name, each in self.federations.items()},
            links=self.links.state() if self.links is not None else {},
        )
        seconds = {"clock/federate_s": perf_counter() - started}
        return after, measured(outcome, reports, after.env_steps) | linked | seconds

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
        return done == self.total or (every > 0 and done % every == 0) or bool(self.ended)


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
    told: dict[str, float] = {
        "rejected": len(report.rejected),
        "kept": float(bool(report.kept)),
        "update_norm": report.update_norm,
    }
    if not report.hidden:  # else these would tell how many were drawn
        told |= {
            "asked": len(report.asked),
            "participants": len(report.participants),
            "missing": len(report.missing),
            "bytes_up": report.bytes_up,
            "bytes_down": report.bytes_down,
        }
    if report.spent is not None:
        told["epsilon"] = report.spent.epsilon
    else:
        told |= {
            "staleness": _mean(np.array([one.staleness for one in brought], np.float64)),
            "client_norm": _mean(np.array([one.norm for one in brought])),
            "similarity": _mean(np.array([one.similarity for one in brought])),
        }
    if report.clipping_norm is not None:
        told["clipping_norm"] = report.clipping_norm
    return told


def _mean(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
