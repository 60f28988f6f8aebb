"""What the quantum links of a configuration carry: budgets over geometry and weather, sessions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qmarl.secure.links import VISIBILITY, Budget, FibreLink, satellite_positions
from qmarl.secure.links_config import LinksConfig, LinkSection
from qmarl.secure.protocols import BB84Config
from qmarl.secure.sources import KeyBlock, LinkSource
from qmarl.secure.tuning import expected_bits, tuned
from qmarl.types import Array

WEATHERS = tuple(VISIBILITY)
"""From clear to rain."""
_POINTS = 41


@dataclass(frozen=True)
class Sweep:
    """Key rates of a link while one thing changes.

    Attributes:
        name: What changes, with its unit.
        values: ``(p,)`` its values.
        rates: ``(p,)`` secret bits a second by weather; of fibre, by ``fibre`` alone.
        here: Its value in the configuration.
        logarithmic: Whether the values are spread evenly by their ratio.
    """

    name: str
    values: Array
    rates: Mapping[str, Array]
    here: float
    logarithmic: bool = True


@dataclass(frozen=True)
class LinkBudget:
    """One link as it stands in the configuration.

    Attributes:
        name: Pattern of client names.
        kind: Kind of the link.
        distance: Between its ends, metres.
        loss: dB, without the detectors.
        background: Probability of a click without a photon, for each pulse.
        rates: Secret bits a second by weather, in the limit of endless sessions.
        session: Secret bits that a quiet session is expected to give, or ``None`` where pairs or
            single photons are sent.
        pulses: Pulses or pairs of a session.
        sweeps: The rates while distance, height or time change.
    """

    name: str
    kind: str
    distance: float
    loss: float
    background: float
    rates: Mapping[str, float]
    session: float | None
    pulses: int
    sweeps: tuple[Sweep, ...]


def named_links(links: LinksConfig) -> dict[str, LinkSection]:
    """Returns links by pattern of client names; the default one where it is asked for, or alone."""
    named = dict(links.clients)
    if not named or "default" in links.model_fields_set:
        named["default"] = links.default
    return named


def budget(name: str, section: LinkSection, round_number: int = 0) -> LinkBudget:
    """Works a link out.

    Args:
        name: What it is called.
        section: The link.
        round_number: Says where a satellite is.
    """
    hops = section.hops(round_number)
    worst = min(hops, key=lambda hop: float(hop.transmittance))
    session = section.session
    pulses = session.pulses if isinstance(session, BB84Config) else session.pairs
    sender, receiver = section.ends(round_number)
    return LinkBudget(
        name=name,
        kind=section.link.kind,
        distance=float(np.linalg.norm(receiver - sender)),
        loss=float(worst.loss_db),
        background=float(worst.background),
        rates={w: _rate(weathered(section, w).hops(round_number)) for w in weathers(section)},
        session=min(_expected(section, hop) for hop in hops) if _decoyed(section) else None,
        pulses=pulses,
        sweeps=tuple(_sweeps(section, round_number)),
    )


def weathers(section: LinkSection) -> tuple[str, ...]:
    """Returns the weathers that make a difference to a link."""
    return ("fibre",) if isinstance(section.link, FibreLink) else WEATHERS


def weathered(section: LinkSection, weather: str) -> LinkSection:
    """Returns a link, and the onward one of its relay, in another weather; fibre stays as it is."""
    if weather not in WEATHERS:
        return section
    changed: dict[str, Any] = {"link": section.link.model_copy(update={"weather": weather})}
    relay = section.relay
    if relay is not None and not isinstance(relay.onward, FibreLink):
        onward = relay.onward.model_copy(update={"weather": weather})
        changed["relay"] = relay.model_copy(update={"onward": onward})
    return section.model_copy(update=changed)


def simulate(
    name: str, section: LinkSection, seed: int, rounds: int, seconds: float, secure: bool = False
) -> list[KeyBlock]:
    """Runs the sessions of some rounds.

    Args:
        name: What the link is called.
        section: The link.
        seed: Root of the randomness.
        rounds: How many.
        seconds: Time for each.
        secure: Take the randomness from the system instead.
    """
    source = LinkSource(name, section, seed, secure)
    return [source.block(round_number, seconds) for round_number in range(rounds)]


def summary(blocks: Sequence[KeyBlock]) -> dict[str, Any]:
    """Returns what may be told of a link's sessions, without a bit of any key.

    Args:
        blocks: One for each round.
    """
    keys = [block for block in blocks if block.bits]
    return {
        "rounds": len(blocks),
        "keys": len(keys),
        "key_bits": 8 * sum(len(block.bits) for block in blocks),
        "seconds": sum(block.seconds for block in blocks),
        "error_rate": float(np.mean([block.qber for block in blocks])),
        "aborts": dict(Counter(block.aborted for block in blocks if block.aborted)),
        "listened": [at for at, block in enumerate(blocks) if block.eavesdropper],
        "eavesdropper": sorted({block.eavesdropper for block in blocks} - {""}),
        "learned_raw_bits": sum(block.leaked_bits for block in blocks),
        "learned_raw_bits_of_keys": sum(block.leaked_bits for block in keys),
    }


def _decoyed(section: LinkSection) -> bool:
    session = section.session
    return isinstance(session, BB84Config) and session.source.kind == "weak_coherent"


def _expected(section: LinkSection, hop: Budget) -> float:
    assert isinstance(section.session, BB84Config)
    config = section.session
    if section.tune:
        config = tuned(config, hop.receiver())
    return max(0.0, expected_bits(config, hop.receiver()))


def _rate(hops: Sequence[Budget]) -> float:
    """Over several hops of a trusted relay, the slowest counts."""
    return min(float(hop.key_rate()) for hop in hops)


def _sweeps(section: LinkSection, round_number: int) -> list[Sweep]:
    if section.satellite is not None:
        return _orbits(section)
    sender, receiver = section.ends(round_number)
    way = receiver - sender
    here = float(np.linalg.norm(way))
    if here == 0 or section.relay is not None:
        return []
    lengths = np.geomspace(here / 20, here * 10, _POINTS)
    along = sender + way / here * lengths[:, None]
    found = [_sweep(section, "distance, km", lengths / 1000, here / 1000, sender, along)]
    if isinstance(section.link, FibreLink):
        return found
    heights = np.geomspace(10, 5_000, _POINTS)
    high = np.broadcast_to(receiver, (_POINTS, 3)).copy()
    high[:, 2] = heights
    return [
        *found,
        _sweep(section, "height of the receiver, m", heights, receiver[2], sender, high),
    ]


def _orbits(section: LinkSection) -> list[Sweep]:
    """Rates over the height of the orbit, at the top of the pass, and over the time of a pass."""
    track, receiver = section.satellite, np.array(section.receiver)
    assert track is not None
    ground, top = receiver * [1, 1, 0], np.radians(track.culmination)
    heights, seconds = np.linspace(2e5, 2e6, _POINTS), np.linspace(-300, 300, 4 * _POINTS + 1)
    above = [satellite_positions(np.zeros(1), height, top)[0] for height in heights]
    passing = satellite_positions(seconds, track.altitude, top)
    return [
        _sweep(
            section,
            "height of the orbit, km",
            heights / 1e3,
            track.altitude / 1e3,
            ground + np.array(above),
            receiver,
            False,
        ),
        _sweep(
            section,
            "time from the middle of the pass, s",
            seconds,
            track.first,
            ground + passing,
            receiver,
            False,
        ),
    ]


def _sweep(
    section: LinkSection,
    name: str,
    values: Array,
    here: float,
    sender: Array,
    receiver: Array,
    logarithmic: bool = True,
) -> Sweep:
    links = {weather: weathered(section, weather).link for weather in weathers(section)}
    rates = {
        weather: link.budget(sender, receiver, section.detector).key_rate()
        for weather, link in links.items()
    }
    return Sweep(name, values, rates, float(here), logarithmic)
