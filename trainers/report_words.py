"""What a report says in sentences: what was trained, how well it does, and what that is worth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from trainers.report_compare import kind_of
from trainers.report_data import Record
from trainers.report_privacy import hiding
from trainers.report_text import (
    MEASURES,
    Measure,
    Score,
    Unit,
    amount,
    at,
    count,
    interval,
    listed,
    number,
    plural,
    seconds,
    section,
    size,
    words,
)

_STATES = {
    "finished": "finished",
    "interrupted": "interrupted",
    "failed": "failed",
    "running": "still running, or killed",
}
_EXACT = ("program", "pennylane:default.qubit")


class Tile(NamedTuple):
    """A number that stands out.

    Attributes:
        label: What it is.
        value: The number.
        note: What belongs to it.
        bar: Ends of an interval and its mean in percent of the tile's width, or nothing.
    """

    label: str
    value: str
    note: str
    bar: tuple[float, float, float] | None = None


def title(record: Record) -> str:
    """The report's title: the run's name."""
    return words(record.config.get("name") or record.path.name, 80)


def state(record: Record) -> str:
    """How the run stands, such as ``finished after 100 rounds``."""
    known = _STATES.get(words(record.status.get("state")), "state not known")
    done, total = record.done, number(record.config.get("rounds"))
    if done is None:
        return known
    reason = words(record.status["reason"], 200) if record.status.get("reason") else ""
    why = f": {reason}" if reason else ""
    return f"{known}, {count(done)} of {count(total or done)} rounds{why}"


def summary(record: Record) -> str:
    """Says in plain words what was trained and how well it does."""
    return f"{_learned(record)} {_judged(record)}"


def tiles(record: Record) -> list[Tile]:
    """The numbers to read first."""
    headline = record.headline
    found = [
        _score_tile(measure, headline.scores[measure.name])
        for measure in MEASURES[:3]
        if headline and measure.name in headline.scores
    ]
    return [*found, *_actor_tiles(record), *_effort_tiles(record)]


def facts(record: Record) -> list[tuple[str, str]]:
    """What was trained, fact by fact."""
    config, groups = record.config, record.groups
    algorithm = words(at(config, "algorithm", "kind")).upper()
    pairs = [
        ("World", words(at(config, "env", "id") or config.get("env"))),
        ("Team", "; ".join(f"{name}: {words(g.get('agents'))}" for name, g in groups.items())),
        ("Actor", "; ".join(dict.fromkeys(_mind(group) for group in groups.values()))),
        ("Critic", "; ".join(dict.fromkeys(_critic(group) for group in groups.values()))),
        ("Learner", algorithm),
        ("Sharing", sharing(record)),
        ("Began with", _origin(record)),
        ("Seed", words(record.seed)),
        ("State", state(record)),
    ]
    return [(label, text) for label, text in pairs if text and text != "–"]


def _origin(record: Record) -> str:
    if not record.origin:
        return ""
    rounds = count(number(record.origin.get("round")))
    return f"the parameters of {words(record.origin.get('run'))} after {rounds} rounds"


def sharing(record: Record) -> str:
    """How parameters travelled, in a few words."""
    settings = section(record.config, "federation")
    kind = settings.get("sharing")
    if kind == "none":
        return "none: every agent learns alone"
    if kind == "shared":
        return "shared: one model, averaged plainly every round"
    if kind == "federated":
        strategy = words(at(settings, "strategy", "kind") or settings.get("strategy"))
        clients = "agent" if settings.get("client") != "fleet" else "fleet"
        return f"federated: every {clients} is a client, joined by {strategy}"
    return words(kind)


def limits(record: Record, compared: bool) -> list[str]:
    """What the numbers do not show."""
    return [*_statistics(record, compared), *_simulation(record), *_secrecy(record)]


def _learned(record: Record) -> str:
    groups = record.groups
    members = sum(len(listed(group, "agents")) for group in groups.values())
    world = at(record.config, "env", "id")
    noun = "drone" if world == "drone_navigation" else "agent"
    who = plural(members, noun) if members else f"A team of {noun}s"
    minds = " and ".join(dict.fromkeys(_mind(group) for group in groups.values()))
    apart = sum(int(number(group.get("models")) or 0) for group in groups.values())
    verb = "trained" if record.status.get("state") == "finished" else "began to train"
    aim = " to reach their goals" if noun == "drone" else ""
    where = f"{aim} in {words(world)}" if world else ""
    return f"{who}, {_owned(minds, apart, members)} {verb}{where}, {_sharing_in_words(record)}."


def _sharing_in_words(record: Record) -> str:
    settings = section(record.config, "federation")
    clients = "fleets" if settings.get("client") == "fleet" else "agents"
    return {
        "none": "every agent for itself",
        "shared": "all with one and the same model",
        "federated": f"sharing between {clients} only what the federated layer carries",
    }.get(str(settings.get("sharing")), "sharing in a way that is not known")


def _owned(minds: str, apart: int, members: int) -> str:
    if not minds:
        return "of which no more is known,"
    if apart == members and members > 1:
        return f"each with its own {minds},"
    return f"with one {minds} for all," if apart == 1 and members > 1 else f"with a {minds},"


def _mind(group: object) -> str:
    kind, parameters = at(group, "actor", "kind"), number(at(group, "actor", "parameters"))
    if kind is None:
        return ""
    qubits = number(at(group, "circuit", "qubits"))
    what = f"{kind_of(kind)} of {count(parameters)} parameters"
    return f"{what} on {count(qubits)} qubits" if qubits else what


def _critic(group: object) -> str:
    kind, sizes = at(group, "critic", "kind"), at(group, "critic", "sizes")
    if kind is None:
        return ""
    layers = f", layers {words(sizes).replace(', ', '-')}" if sizes else ""
    return f"{words(kind)}{layers}, {count(number(at(group, 'critic', 'parameters')))} parameters"


def _judged(record: Record) -> str:
    headline = record.headline
    if not headline:
        return "It has not been evaluated yet."
    scores = headline.scores
    when = (
        "" if headline.round in (None, record.done) else f"After {count(headline.round)} rounds, "
    )
    episodes = f"{count(headline.episodes)} " if headline.episodes else ""
    start = f"{when}on {episodes}held-out"
    parts = []
    if "success" in scores:
        parts.append(f"all arrive unharmed in {_with_interval(scores['success'])}")
    if "collision" in scores:
        parts.append(f"something is touched in {_with_interval(scores['collision'])}")
    if not parts and "return" in scores:
        parts.append(f"the mean return is {_with_interval(scores['return'], 'number')}")
    sentence = f"{start} episodes {' and '.join(parts)}." if parts else ""
    return sentence[:1].upper() + sentence[1:]


def _with_interval(score: Score, unit: Unit = "share") -> str:
    return f"{amount(score.mean, unit)} (95\u202f% interval {interval(score, unit)})"


def _score_tile(measure: Measure, score: Score) -> Tile:
    note = f"95\u202f% interval {interval(score, measure.unit)}"
    bar = None
    if measure.unit == "share":
        low, high, mean = (100 * min(max(x, 0.0), 1.0) for x in (score.low, score.high, score.mean))
        bar = low, high, mean
    return Tile(measure.title, amount(score.mean, measure.unit), note, bar)


def _actor_tiles(record: Record) -> Iterator[Tile]:
    for name, group in list(record.groups.items())[:2]:
        parameters = number(at(group, "actor", "parameters"))
        if parameters is None:
            continue
        label = "Actor parameters" + (f", {words(name, 20)}" if len(record.groups) > 1 else "")
        twin = number(at(group, "twin", "parameters"))
        note = kind_of(at(group, "actor", "kind"))
        if twin is not None:
            note += f"; {_matching(kind_of(at(group, 'twin', 'kind')))} {count(twin)}"
        yield Tile(label, count(parameters), note)


def _matching(kind: str) -> str:
    return {"classical network": "classical twin"}.get(kind, kind)


def _effort_tiles(record: Record) -> Iterator[Tile]:
    steps = record.measured("env_steps")
    if steps:
        took = sum(record.measured("clock/round_s"))
        yield Tile("Env-steps", count(steps[-1]), f"in {seconds(took)}" if took else "")
    up, down = traffic(record)
    if up or down:
        yield Tile("Communication", size(up + down), f"{size(up)} up, {size(down)} down")


def traffic(record: Record) -> tuple[float, float]:
    """Returns the bytes that went up to the server and down to the clients in the whole run."""
    totals = [0.0, 0.0]
    for metrics in record.rounds:
        for key, value in metrics.items():
            for place, tail in enumerate(("/bytes_up", "/bytes_down")):
                if key.startswith("federation/") and key.endswith(tail):
                    totals[place] += number(value) or 0.0
    return totals[0], totals[1]


def _statistics(record: Record, compared: bool) -> Iterator[str]:
    alone = f"This is one run with one seed ({words(record.seed)})"
    subject = "Each run is one seed" if compared else alone
    yield (
        f"{subject}. The intervals are over episodes, not over seeds: they say how sure the "
        "episodes make us of these very parameters, not how another training would end."
    )
    yield "Held-out episodes are other draws of the world of the training, not another world."


def _simulation(record: Record) -> Iterator[str]:
    paths = {str(at(group, "circuit", "path")) for group in record.groups.values()} - {"None"}
    if paths and paths <= set(_EXACT) and not record.config.get("noise"):
        yield (
            "The circuits are simulated: exact expectation values, no noise, no finite number of "
            "shots. A quantum computer would add all three."
        )
    if at(record.config, "env", "backend") == "point":
        yield "The drones are point masses with exact sensors: no aerodynamics, no wind."


def _secrecy(record: Record) -> Iterator[str]:
    if any(at(group, "critic", "kind") == "central" for group in record.groups.values()):
        yield (
            "The central critic saw the joint state of the whole team while it trained. It is "
            "exempt from the rule that sharing goes through the federated layer; it does not fly."
        )
    if any(at(group, "critic", "kind") == "split" for group in record.groups.values()):
        yield (
            "The split critic's server saw activations that every agent made of what it observed, "
            "and gradients. They are no observations, but tell something of each of them, which no "
            "account of clients covers. The critic does not fly."
        )
    if any(at(group, "actor", "kind") == "split" for group in record.groups.values()):
        yield (
            "The split policy's server saw activations that every drone made of what it observed "
            "while it learned, and gradients; no account of clients covers them. Rollouts and "
            "evaluations played both parts in one process, and no bytes of theirs are counted."
        )
    kind = at(record.config, "federation", "sharing")
    if kind in ("federated", "shared"):
        yield hiding(record)
