"""The tables of a report: parameters, circuits, communication, time, and how to repeat it all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from trainers.report_chart import Chart
from trainers.report_clients import ClientRow, clients
from trainers.report_compare import kind_of
from trainers.report_curves import Run, exchange_charts, federated_groups
from trainers.report_data import Record
from trainers.report_text import (
    at,
    count,
    decimals,
    listed,
    number,
    plural,
    seconds,
    section,
    size,
    words,
)

ROLES = {
    "angles": "circuit angles",
    "scales": "input scalings",
    "readout": "readout weights",
    "weights": "network weights",
    "log_std": "action deviations",
}
"""What the parameters of each role are called."""

_PHASES = {"collect": "collecting", "learn": "learning", "federate": "federating"}
_CIRCUIT = ("qubits", "depth", "gates", "parameters", "path")


class Segment(NamedTuple):
    """A part of a bar, with its width in percent of the widest."""

    label: str
    value: str
    percent: float


class Bar(NamedTuple):
    """A bar made of parts."""

    label: str
    tone: int
    total: str
    segments: tuple[Segment, ...]


class Parameters(NamedTuple):
    """Parameter counts of one group."""

    group: str
    bars: tuple[Bar, ...]
    facts: tuple[tuple[str, str], ...]


class CircuitPart(NamedTuple):
    """The circuit of one group: facts, why it runs on the path that it does, and its drawing."""

    group: str
    facts: tuple[tuple[str, str], ...]
    reason: str
    drawing: str


class Exchanged(NamedTuple):
    """The communication of one group."""

    group: str
    rows: tuple[tuple[str, str], ...]
    charts: tuple[Chart, ...]
    clients: tuple[ClientRow, ...]


def parameters(record: Record) -> list[Parameters]:
    """Sets the actors of each group against their twins."""
    return [_parameters(name, group) for name, group in record.groups.items() if "actor" in group]


def circuits(record: Record) -> list[CircuitPart]:
    """Describes the circuit of each group that has one."""
    found = ((name, section(group, "circuit")) for name, group in record.groups.items())
    return [_circuit(name, circuit) for name, circuit in found if circuit]


def communication(record: Record) -> list[Exchanged]:
    """Sums up what each group sent and received."""
    return [_exchanged(record, name) for name in federated_groups(record)]


def times(runs: Sequence[Run]) -> list[Bar]:
    """Says where each run's time went; all bars have one scale."""
    spent = [(run, _spent(run.record)) for run in runs]
    timed = [(run, parts) for run, parts in spent if sum(parts.values()) > 0]
    longest = max((sum(parts.values()) for _, parts in timed), default=0.0)
    return [_bar(run.label, run.tone, parts, longest, seconds) for run, parts in timed]


def versions(record: Record) -> list[tuple[str, str]]:
    """Lists what the run depended on."""
    env = record.env
    pairs = [("python", env.get("python")), *section(env, "packages").items()]
    platform = section(env, "platform")
    pairs.append(("platform", " ".join(map(str, platform.values())) or None))
    return [(words(name, 40), words(value, 60)) for name, value in pairs if value is not None]


def commit(record: Record) -> str:
    """Returns the commit, if what stands there is one: it ends up in a command to be copied."""
    found = str(at(record.env, "git", "commit"))
    return found if re.fullmatch(r"[0-9a-f]{7,64}", found) else ""


def commands(record: Record) -> list[str]:
    """Returns the commands that repeat the run, from the saved configuration on."""
    checkout = [f"git checkout {commit(record)}"] if commit(record) else []
    headline = record.headline
    name = str(record.config.get("name"))
    where = f"runs/{name}/latest" if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) else "RUN"
    judge = f"qmarl evaluate {where}"
    if headline and headline.episodes:
        judge += f" --episodes {headline.episodes}"
    if headline and headline.seed is not None:
        judge += f" --seed {headline.seed}"
    if headline and headline.policy == "stochastic":
        judge += " --stochastic"
    origin = " --from RUN" if record.origin else ""
    return [*checkout, f"qmarl train config.yaml{origin}", judge]


def _parameters(name: str, group: dict[str, Any]) -> Parameters:
    actor, twin = section(group, "actor"), section(group, "twin")
    roles = {ROLES.get(k, words(k)): number(v) or 0.0 for k, v in section(actor, "by_role").items()}
    own = roles or {"all": number(actor.get("parameters")) or 0.0}
    other = {"all": number(twin.get("parameters")) or 0.0}
    widest = max(sum(own.values()), sum(other.values())) or 1.0
    bars = [_bar(kind_of(actor.get("kind")), 0, own, widest, count)]
    if sum(other.values()):
        label = f"its twin, a {kind_of(twin.get('kind'))}"
        bars.append(_bar(label, 1, other, widest, count))
    return Parameters(words(name), tuple(bars), tuple(_counted(group, own, other)))


def _counted(
    group: dict[str, Any], own: dict[str, float], other: dict[str, float]
) -> Iterator[tuple[str, str]]:
    mine, twins = sum(own.values()), sum(other.values())
    models = number(group.get("models"))
    if mine and twins:
        difference = decimals(100 * (twins - mine) / mine, 1)
        yield "Twin's difference", f"{difference}\u202f%"
    if models:
        agents = plural(len(listed(group, "agents")), "agent")
        yield "Models", f"{plural(int(models), 'model')} for {agents}"
        yield "Trained in all", f"{count(models * mine)} parameters of actors"
    critic = number(at(group, "critic", "parameters"))
    if critic is not None:
        yield "Critic", f"{words(at(group, 'critic', 'kind'))}, {count(critic)} parameters"
    inputs, actions = number(group.get("inputs")), number(group.get("actions"))
    if inputs and actions:
        yield "Sees and chooses", f"{count(inputs)} numbers, {count(actions)} actions"


def _circuit(name: str, circuit: dict[str, Any]) -> CircuitPart:
    rest = [key for key in circuit if key not in (*_CIRCUIT, "reason", "drawing")]
    facts = [(key, circuit[key]) for key in (*_CIRCUIT, *rest) if key in circuit]
    shown = [(words(key.replace("_", " "), 40).capitalize(), _plain(value)) for key, value in facts]
    drawing = circuit.get("drawing")
    return CircuitPart(
        words(name),
        tuple(shown),
        words(circuit["reason"], 400) if circuit.get("reason") else "",
        drawing if isinstance(drawing, str) else "",
    )


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return words([f"{key} {inner}" for key, inner in value.items()])
    plain = number(value)
    return count(plain) if plain is not None and plain == int(plain) else words(value)


def _exchanged(record: Record, name: str) -> Exchanged:
    start = f"federation/{name}"
    agents = listed(record.groups.get(name), "agents")
    took, rejected = (record.measured(f"{start}/{key}") for key in ("participants", "rejected"))
    rows = [
        ("What travels", words(at(record.config, "federation", "share"))),
        ("Up to the server", _traffic(record.measured(f"{start}/bytes_up"))),
        ("Down to the clients", _traffic(record.measured(f"{start}/bytes_down"))),
        ("Took part", f"{_range(took)} clients in a round"),
        ("Rejected", f"{count(sum(rejected))} updates in the whole run"),
    ]
    if at(record.config, "federation", "sharing") == "federated" and agents:
        rows.insert(0, ("Agents", words(agents)))
    charts = tuple(exchange_charts(record, name))
    return Exchanged(words(name), tuple(rows), charts, clients(record.federation, name))


def _traffic(bytes_by_round: Sequence[float]) -> str:
    if not bytes_by_round:
        return "not measured"
    mean = sum(bytes_by_round) / len(bytes_by_round)
    return f"{size(mean)} a round, {size(sum(bytes_by_round))} in all"


def _range(values: Sequence[float]) -> str:
    if not values:
        return "unknown number of"
    low, high = min(values), max(values)
    return count(low) if low == high else f"{count(low)} to {count(high)}"


def _spent(record: Record) -> dict[str, float]:
    parts = {title: sum(record.measured(f"clock/{phase}_s")) for phase, title in _PHASES.items()}
    rest = sum(record.measured("clock/round_s")) - sum(parts.values())
    return parts | {"evaluating and the rest": max(rest, 0.0)}


def _bar(
    label: str,
    tone: int,
    parts: dict[str, float],
    widest: float,
    write: Callable[[float], str],
) -> Bar:
    segments = tuple(
        Segment(name, write(value), round(100 * value / widest, 2)) for name, value in parts.items()
    )
    return Bar(label, tone, write(sum(parts.values())), segments)
