"""``qmarl links``: what the quantum links of a configuration carry, and what sessions give."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trainers.cli_words import ConfigFile, Json, Overrides
from trainers.plain import finite

if TYPE_CHECKING:
    from qmarl.secure.links_config import LinksConfig, LinkSection
    from trainers.links import LinkBudget
    from trainers.links_flight import Flight

links_app = typer.Typer(
    help="Works out and simulates the quantum links of a configuration.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Chosen = Annotated[
    str | None, typer.Option("--link", help="One link, by its name under transport.links.")
]


@links_app.command(epilog="Example: [bold]qmarl links budget configs/secure/links.yaml[/]")
def budget(
    config: ConfigFile,
    overrides: Overrides = None,
    link: Chosen = None,
    at: Annotated[int, typer.Option("--round", min=0, help="Where a satellite is then.")] = 0,
    flight: Annotated[
        bool, typer.Option("--flight", help="Also fly the world's drones, and rate each step.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Also draw the rates to this file (png, svg or pdf).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tells loss, noise and key rate of each link, by distance, height and weather."""
    from trainers.config import load_experiment
    from trainers.links import budget as worked_out

    experiment = load_experiment(config, overrides or [])
    _check_picture(plot)
    links = _chosen(experiment.transport.links, link)
    found = [worked_out(name, section, at) for name, section in links.items()]
    flights = {}
    if flight:
        from trainers.links_flight import fly

        flights = {n: fly(experiment.env, s, experiment.seed) for n, s in links.items() if s.flies}
    if as_json:
        told = {"links": [_told(each) for each in found], "flights": _flown(flights)}
        typer.echo(json.dumps(finite(told)))
    else:
        typer.echo("\n\n".join([*map(budget_text, found), *_flight_texts(flights)]))
    if plot is not None:
        from trainers.links_plot import plot as draw

        draw(found, flights, plot)
        typer.echo(f"wrote {plot}", err=True)


@links_app.command(epilog="Example: [bold]qmarl links simulate configs/secure/links.yaml[/]")
def simulate(
    config: ConfigFile,
    overrides: Overrides = None,
    link: Chosen = None,
    rounds: Annotated[int, typer.Option(min=1, help="Sessions of each link.")] = 10,
    seconds: Annotated[float, typer.Option(min=0.0, help="Time for each session.")] = 1.0,
    as_json: Json = False,
) -> None:
    """Runs sessions on each link: errors, keys, aborts, and what an eavesdropper learned."""
    from trainers.config import load_experiment
    from trainers.links import simulate as run
    from trainers.links import summary

    experiment = load_experiment(config, overrides or [])
    found = {}
    for name, section in _chosen(experiment.transport.links, link).items():
        secure = experiment.transport.links.secure
        blocks = run(name, section, experiment.seed, rounds, seconds, secure)
        found[name] = summary(blocks)
        if not as_json:
            typer.echo(session_text(name, found[name]))
    if as_json:
        typer.echo(json.dumps(finite(found)))


def budget_text(budget: LinkBudget) -> str:
    """Lays a link's budget out for people."""
    lines = [
        f"{budget.name}: {budget.kind}, {distance_text(budget.distance)}, "
        f"{budget.loss:.1f} dB, {budget.background:.1e} noise clicks for each pulse",
        "  key rate now   " + _rates_text(budget.rates),
    ]
    if budget.session is not None:
        size = f"{budget.pulses:.3g} pulses"
        lines.append(f"  a session      {budget.session:,.0f} secret bits expected of {size}")
    for sweep in budget.sweeps:
        lines.append(f"  {sweep.name:<40}" + "".join(f"{name:>10}" for name in sweep.rates))
        for at in range(0, len(sweep.values), max(1, len(sweep.values) // 8)):
            cells = "".join(f"{short(float(r[at])):>10}" for r in sweep.rates.values())
            lines.append(f"  {sweep.values[at]:>40.4g}{cells}")
    return "\n".join(lines)


def session_text(name: str, told: Mapping[str, Any]) -> str:
    """Lays the sessions of a link out for people.

    >>> told = {"rounds": 3, "keys": 2, "key_bits": 8000, "seconds": 0.06, "error_rate": 0.02,
    ...         "aborts": {"error_rate": 1}, "listened": [1], "eavesdropper": ["jamming"],
    ...         "learned_raw_bits": 0.0, "learned_raw_bits_of_keys": 0.0}
    >>> print(session_text("drone_0", told))
    drone_0: 2 keys in 3 rounds, 8,000 bits in 0.06 s; error rate 2.00 % on average
      aborted: 1 by error_rate
      on the line: jamming in rounds 1; knew 0 raw bits, 0 of them in sessions that gave a key
    """
    lines = [
        f"{name}: {told['keys']} keys in {told['rounds']} rounds, {told['key_bits']:,} bits in "
        f"{told['seconds']:.3g} s; error rate {100 * told['error_rate']:.2f} % on average"
    ]
    if told["aborts"]:
        reasons = ", ".join(f"{count} by {reason}" for reason, count in told["aborts"].items())
        lines.append(f"  aborted: {reasons}")
    if told["eavesdropper"]:
        who = " and ".join(told["eavesdropper"])
        lines.append(
            f"  on the line: {who} in rounds {_spans(told['listened'])}; knew "
            f"{told['learned_raw_bits']:,.0f} raw bits, {told['learned_raw_bits_of_keys']:,.0f} "
            "of them in sessions that gave a key"
        )
    return "\n".join(lines)


def distance_text(metres: float) -> str:
    """Returns a distance in metres or kilometres.

    >>> distance_text(250.0), distance_text(25_000.0)
    ('250 m', '25 km')
    """
    return f"{metres:.3g} m" if metres < 1000 else f"{metres / 1000:.4g} km"


def short(rate: float) -> str:
    """Returns a rate with a letter for its size.

    >>> short(0.2), short(1234.0), short(2.5e6)
    ('0', '1.23k', '2.50M')
    """
    if rate < 1:
        return "0"
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if rate >= size:
            return f"{rate / size:.2f}{letter}"
    return f"{rate:.0f}"


def _rates_text(rates: Mapping[str, float]) -> str:
    return ", ".join(f"{short(rate)} bit/s in {weather}" for weather, rate in rates.items())


def _spans(numbers: Sequence[int]) -> str:
    """Writes rounds that follow each other as one span.

    >>> _spans([1, 2, 3, 7])
    '1-3, 7'
    """
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][-1] + 1:
            spans[-1][1:] = [number]
        else:
            spans.append([number])
    return ", ".join("-".join(map(str, span)) for span in spans)


def _chosen(links: LinksConfig, name: str | None) -> dict[str, LinkSection]:
    from qmarl.config import unknown
    from qmarl.errors import ConfigurationError
    from trainers.links import named_links

    found = named_links(links)
    if name is None:
        return found
    if name not in found:
        raise ConfigurationError(f"--link: {unknown('link', name, list(found))}")
    return {name: found[name]}


def _check_picture(path: Path | None) -> None:
    from qmarl.errors import ConfigurationError

    if path is not None and path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ConfigurationError(f"--plot: {path} must end with .png, .svg or .pdf")


def _told(budget: LinkBudget) -> dict[str, Any]:
    plain = {name: getattr(budget, name) for name in budget.__dataclass_fields__}
    plain["sweeps"] = [
        {
            "over": sweep.name,
            "values": sweep.values.tolist(),
            "rates": {weather: rates.tolist() for weather, rates in sweep.rates.items()},
        }
        for sweep in budget.sweeps
    ]
    return plain


def _flown(flights: Mapping[str, Flight]) -> dict[str, Any]:
    return {
        name: {
            "agents": list(flight.agents),
            "seconds": flight.seconds.tolist(),
            "direct": flight.direct.tolist(),
            "best": flight.best.tolist(),
        }
        for name, flight in flights.items()
    }


def _flight_texts(flights: Mapping[str, Flight]) -> list[str]:
    return [flight_text(name, flight) for name, flight in flights.items()]


def flight_text(name: str, flight: Flight) -> str:
    """Lays the rates along a flight out for people."""
    length = f"{len(flight.seconds)} steps, {flight.seconds[-1]:.0f} s"
    lines = [f"{name}: drones in {flight.world}, {length}; key rate least, mean, most"]
    for drone, agent in enumerate(flight.agents):
        own, best = flight.direct[:, drone], flight.best[:, drone]
        spread = (float(own.min()), float(own.mean()), float(own.max()))
        each = "".join(f"{short(rate):>10}" for rate in spread)
        relayed = short(float(best.mean()))
        lines.append(f"  {agent:<12}{each}   {relayed} on average with teammates as relays")
    return "\n".join(lines)
