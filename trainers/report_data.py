"""What is left of a run on the disk, read with care: files may be missing, cut off or hostile."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qmarl.errors import RunError
from trainers.report_text import Score, number, section
from trainers.rundir import RunDirectory, refuse_traps

MAX_BYTES = 64 * 2**20
"""Files larger than this [bytes] are not read into a report."""
MAX_DEPTH = 40
"""Nor is what is nested deeper than this."""

_LOSSES = {
    "config.resolved.json": "the settings are not known",
    "env.json": "the versions and the commit are not known",
    "status.json": "whether the run came to its end is not known",
    "model.json": "parameter counts and the circuit cannot be shown",
    "metrics.jsonl": "there are no learning curves, no communication and no timing",
}


@dataclass(frozen=True)
class Evaluation:
    """How frozen parameters did on held-out episodes.

    Attributes:
        source: File that says so.
        scores: By name of the measure.
        round: Rounds of training that the parameters had seen.
        episodes: How many were played.
        seed: Seed of the held-out worlds.
        policy: ``greedy``, ``stochastic`` or not known.
        overrides: Settings that differ from those of the training.
    """

    source: str
    scores: dict[str, Score]
    round: int | None
    episodes: int | None
    seed: int | None
    policy: str | None
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """All that a report needs to know about one run.

    Attributes:
        path: The run's directory.
        config: The resolved configuration.
        env: Versions, seed and commit.
        model: What the models are, by group.
        status: State and round.
        rounds: One map of metrics for each round, in order.
        evaluations: All of them, the most telling one first.
        flight: A GIF.
        missing: Sentences that say what could not be read.
        federation: What each client did, one map for each round, in order.
        links: What happened on each client's link, one map for each round, in order.
        origin: Which run's parameters it began with, and after how many rounds; empty if none.
        privacy: What the privacy of each group has cost; empty where nothing was hidden.
        gap: How the team did in a simulator; empty if it never flew there.
    """

    path: Path
    config: dict[str, Any]
    env: dict[str, Any]
    model: dict[str, Any]
    status: dict[str, Any]
    rounds: tuple[dict[str, Any], ...]
    evaluations: tuple[Evaluation, ...]
    flight: bytes | None
    missing: tuple[str, ...]
    federation: tuple[dict[str, Any], ...] = ()
    links: tuple[dict[str, Any], ...] = ()
    origin: dict[str, Any] = field(default_factory=dict)
    privacy: dict[str, Any] = field(default_factory=dict)
    gap: dict[str, Any] = field(default_factory=dict)

    @property
    def groups(self) -> dict[str, dict[str, Any]]:
        """The models of each group."""
        return {name: group for name, group in self.model.items() if isinstance(group, dict)}

    @property
    def headline(self) -> Evaluation | None:
        """The evaluation that speaks for the run: of the latest parameters, unchanged settings."""
        plain = (one for one in self.evaluations if not one.overrides)
        return next(plain, None)

    @property
    def seed(self) -> int | None:
        """The run's root seed."""
        return whole(self.config.get("seed", self.env.get("seed")))

    @property
    def done(self) -> int | None:
        """Rounds that are done."""
        logged = whole(self.rounds[-1]["round"]) if self.rounds else None
        return logged + 1 if logged is not None else whole(self.status.get("round"))

    def column(self, name: str) -> list[float | None]:
        """One metric in every round, ``None`` where it was not measured."""
        return [number(metrics.get(name)) for metrics in self.rounds]

    def measured(self, name: str) -> list[float]:
        """One metric in the rounds in which it was measured."""
        return [value for value in self.column(name) if value is not None]


def read(path: Path) -> Record:
    """Reads the directory of a run, or the last run of ``runs/<name>``.

    Args:
        path: The directory. Of its files, any may be missing or damaged.

    Raises:
        RunError: There is no such directory, or nothing in it is a run's.
    """
    path = _found(path)
    reader = _Reader(path)
    config = reader.object("config.resolved.json")
    rounds = reader.rounds()
    federation = reader.log("federation.jsonl", "what each client did is not known")
    return Record(
        path=path,
        config=config,
        env=reader.object("env.json"),
        model=reader.object("model.json"),
        status=reader.object("status.json"),
        rounds=rounds,
        evaluations=tuple(_ranked([*reader.evaluations(), *_in_training(config, rounds)])),
        flight=reader.flight(),
        federation=federation,
        links=reader.log("links.jsonl", "what happened on each link is not known"),
        origin=reader.origin(),
        gap=reader.gap(),
        privacy=reader.privacy(config),
        missing=tuple(reader.missing),  # the last one: all have been read by now
    )


def whole(value: object) -> int | None:
    """Returns a whole number, or ``None`` for everything else."""
    plain = number(value)
    return None if plain is None else int(plain)


def _found(path: Path) -> Path:
    try:
        return RunDirectory.open(path).path
    except RunError:
        if not any((path / name).is_file() for name in _LOSSES):
            raise
        refuse_traps(path)
        return path  # a run that lost files is still worth a report


class _Reader:
    """Reads files of one directory and notes what could not be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.missing: list[str] = []

    def raw(self, name: str) -> bytes:
        """Returns a file's bytes; raises ``ValueError`` that says why it cannot."""
        path = self._path / name
        try:
            if not path.is_file():
                raise ValueError("is missing")
            if path.stat().st_size > MAX_BYTES:
                raise ValueError(f"is larger than {MAX_BYTES >> 20} MiB")
            return path.read_bytes()
        except OSError as error:
            raise ValueError(f"cannot be read ({error.strerror})") from None

    def object(self, name: str, loss: str = "") -> dict[str, Any]:
        """Returns a file's JSON object, or an empty one."""
        try:
            return _parsed(self.raw(name))
        except ValueError as error:
            self.missing.append(f"{name} {error}: {loss or _LOSSES[name]}")
            return {}

    def rounds(self) -> tuple[dict[str, Any], ...]:
        """Returns the log's lines that are whole, in order of their rounds."""
        name = "metrics.jsonl"
        try:
            lines = self.raw(name).splitlines()
        except ValueError as error:
            self.missing.append(f"{name} {error}: {_LOSSES[name]}")
            return ()
        rounds = {found["round"]: found for found in map(_round, lines) if found}
        if lost := len([line for line in lines if line.strip()]) - len(rounds):
            self.missing.append(f"{name}: {lost} damaged or repeated lines are left out")
        if not rounds:
            self.missing.append(f"{name} holds no rounds: {_LOSSES[name]}")
        return tuple(rounds[key] for key in sorted(rounds))

    def log(self, name: str, loss: str) -> tuple[dict[str, Any], ...]:
        """Returns the lines of a log that not every run has."""
        if not (self._path / name).is_file():
            return ()
        try:
            lines = self.raw(name).splitlines()
        except ValueError as error:
            self.missing.append(f"{name} {error}: {loss}")
            return ()
        return tuple(found for found in map(_round, lines) if found)

    def origin(self) -> dict[str, Any]:
        """Returns what the run began with; most begin at random and have no such file."""
        name = "origin.json"
        there = (self._path / name).is_file()
        return self.object(name, "what the run began with is not known") if there else {}

    def privacy(self, config: dict[str, Any]) -> dict[str, Any]:
        """Returns the privacy account of a run that has one."""
        name = "privacy.json"
        there = (self._path / name).is_file() or bool(section(config, "federation", "privacy"))
        return self.object(name, "what its privacy has cost is not known") if there else {}

    def gap(self) -> dict[str, Any]:
        """Returns how the team did in a simulator; most never fly in one."""
        name = "gap.json"
        there = (self._path / name).is_file()
        return self.object(name, "the flights in a simulator are not shown") if there else {}

    def evaluations(self) -> list[Evaluation]:
        """Returns what the files in ``eval/`` say."""
        names = sorted(path.name for path in (self._path / "eval").glob("*.json"))
        loss = "its scores are left out"
        found = [(f"eval/{name}", self.object(f"eval/{name}", loss)) for name in names]
        return [_evaluation(name, data) for name, data in found if _scores(data)]

    def flight(self) -> bytes | None:
        """Returns the animation, if there is one and it is one."""
        name = "media/flight.gif"
        if not (self._path / name).is_file():
            return None  # nothing is lost: many runs are never drawn
        try:
            gif = self.raw(name)
            if gif[:6] not in (b"GIF87a", b"GIF89a"):
                raise ValueError("is not a GIF")
        except ValueError as error:
            self.missing.append(f"{name} {error}: it is not shown")
            return None
        return gif


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("is damaged") from None
    if not isinstance(data, dict):
        raise ValueError("is not a JSON object")
    if not _shallow(data, MAX_DEPTH):
        raise ValueError(f"is nested more than {MAX_DEPTH} levels deep")
    return data


def _shallow(data: Any, levels: int) -> bool:
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return levels > 0 and all(_shallow(value, levels - 1) for value in inner)


def _round(line: bytes) -> dict[str, Any] | None:
    try:
        data = _parsed(line)
    except ValueError:
        return None
    return data if whole(data.get("round")) is not None else None


def _scores(data: dict[str, Any]) -> dict[str, Score]:
    found = {}
    for name, part in data.items():
        values = [number(section({"": part}, "").get(key)) for key in Score._fields]
        plain = [value for value in values if value is not None]
        if len(plain) == len(values):
            found[name] = Score(*plain)
    return found


def _evaluation(source: str, data: dict[str, Any]) -> Evaluation:
    overrides = data.get("overrides")
    return Evaluation(
        source=source,
        scores=_scores(data),
        round=whole(data.get("round")),
        episodes=whole(data.get("episodes")),
        seed=whole(data.get("seed")),
        policy=_policy(data.get("policy"), data.get("greedy")),
        overrides=tuple(map(str, overrides)) if isinstance(overrides, list) else (),
    )


def _policy(policy: object, greedy: object) -> str | None:
    if isinstance(greedy, bool):
        return "greedy" if greedy else "stochastic"
    return policy if isinstance(policy, str) else None


def score(metrics: dict[str, Any], name: str) -> Score | None:
    """Returns the evaluation of one measure in a round's metrics, if there was one."""
    values = [number(metrics.get(f"eval/{name}{tail}")) for tail in ("", "_low", "_high")]
    plain = [value for value in values if value is not None]
    return Score(*plain) if len(plain) == len(values) else None


def _in_training(config: dict[str, Any], rounds: tuple[dict[str, Any], ...]) -> list[Evaluation]:
    """The last evaluation that the training itself made."""
    for metrics in reversed(rounds):
        names = [key[5:-4] for key in metrics if key.startswith("eval/") and key.endswith("_low")]
        found = {name: one for name in names if (one := score(metrics, name))}
        if found:
            done = int(metrics["round"]) + 1
            settings = section(config, "evaluation")
            episodes = settings.get("episodes")
            policy = _policy(None, settings.get("greedy"))
            return [Evaluation("metrics.jsonl", found, done, whole(episodes), None, policy)]
    return []


def _ranked(evaluations: list[Evaluation]) -> list[Evaluation]:
    """The best parameters on held-out worlds first, then validation, then what is out of date.

    Validation chose the checkpoint, so it flatters; what was played before the run went on is old.
    """
    rounds = {one.source: one.round for one in evaluations if one.round is not None}
    latest = max(rounds.values(), default=0)
    fresh = rounds.get("eval/final.json", latest)

    def key(one: Evaluation) -> tuple[int, int, int, bool, str]:
        known = latest if one.round is None else one.round
        tier = 1 if one.source == "metrics.jsonl" else 0 if known >= fresh else 2
        return (tier, -known, -(one.episodes or 0), one.source != "eval/final.json", one.source)

    return sorted(evaluations, key=key)
