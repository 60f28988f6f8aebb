"""Who is linked to whom and by what, and who listens when, as sections of a configuration."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from qmarl.config import Section
from qmarl.secure.eavesdroppers import EavesdropperConfig, PhotonNumberSplitting
from qmarl.secure.links import (
    Budget,
    DetectorConfig,
    FibreLink,
    LinkConfig,
    Positive,
    Share,
    satellite_positions,
)
from qmarl.secure.protocols import BB84Config, DirectConfig, EntangledConfig
from qmarl.types import Array

Point = tuple[float, float, float]
SessionConfig = Annotated[BB84Config | EntangledConfig, Field(discriminator="protocol")]
"""A session by its ``protocol``: ``bb84``, ``six_state``, ``bbm92`` or ``e91``."""


class PassSection(Section):
    """The passes of a satellite over the receiver, which take the sender's place."""

    altitude: Positive = 500_000.0
    """Height of the circular orbit, m."""
    culmination: Annotated[float, Field(gt=0, le=90)] = 70.0
    """Greatest elevation of a pass, degrees."""
    first: float = -100.0
    """Time of round 0, seconds from the middle of the first pass."""
    step: Positive = 2.0
    """Time from one round to the next, s."""
    period: Positive = 5_700.0
    """Time from one pass to the next, s."""

    def position(self, round_number: int) -> Array:
        """Returns where the satellite is in a round, ``(3,)`` metres around the receiver."""
        half = self.period / 2
        seconds = (self.first + self.step * round_number + half) % self.period - half
        found = satellite_positions(
            np.array([seconds]), self.altitude, np.radians(self.culmination)
        )
        return np.asarray(found[0])


class RelaySection(Section):
    """A drone between the two ends."""

    shorthand: ClassVar[str | None] = "kind"

    kind: Literal["mirror", "trusted"] = "mirror"
    """``mirror`` only passes the light on and needs no trust; ``trusted`` makes a key with each end
    and knows both, and so all that is sent under them."""
    position: Point = (0.0, 0.0, 100.0)
    """Where it is, m."""
    onward: LinkConfig = FibreLink()
    """The link from the relay to the receiver."""
    efficiency: Share = 0.8
    """Share of the light that a mirror passes on."""


class ScheduledEavesdropper(Section):
    """Someone on the line from one round to another."""

    who: EavesdropperConfig
    """What they do."""
    rounds: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] = (0, 2**31)
    """First and last round in which they do it."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.rounds[0] > self.rounds[1]:
            raise ValueError(f"rounds: the first, {self.rounds[0]}, is after {self.rounds[1]}")
        return self


class LinkSection(Section):
    """A quantum link between two ends, and the sessions that make keys over it."""

    shorthand: ClassVar[str | None] = "link"

    link: LinkConfig = FibreLink()
    """What carries the light."""
    sender: Point = (0.0, 0.0, 0.0)
    """Where the source is, m; z is up."""
    receiver: Point = (25_000.0, 0.0, 0.0)
    """Where the receiver is, m."""
    satellite: PassSection | None = None
    """A satellite in the sender's place; its positions are relative to the receiver."""
    relay: RelaySection | None = None
    """A drone between the two."""
    detector: DetectorConfig = DetectorConfig()
    """The receiver's detectors and their clock."""
    session: SessionConfig = BB84Config(pulses=4_000_000)
    """The protocol that makes keys."""
    direct: DirectConfig = DirectConfig()
    """The protocol that carries payloads directly, where a transport asks for it."""
    tune: bool = True
    """Whether intensities and bases of a weak coherent source are chosen for the link and the
    number of pulses, instead of those that ``session`` says."""
    first_contact: Literal["seed", "ml-dsa-65"] = "seed"
    """How the two ends know each other before they share a key: by a secret ``seed`` that both were
    given, or by each other's public keys, which sign the first session."""
    eavesdropper: ScheduledEavesdropper | None = None
    """Who is on the line, and when."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        session, listening = self.session, self.eavesdropper
        if (
            listening is not None
            and isinstance(session, EntangledConfig)
            and isinstance(listening.who, PhotonNumberSplitting)
        ):
            raise ValueError(
                f"eavesdropper: {session.protocol} sends pairs of single photons, which leave "
                "photon_number_splitting nothing; it is for bb84 with a weak coherent source"
            )
        return self

    @model_validator(mode="after")
    def _in_space(self) -> Self:
        if self.link.kind.startswith("satellite") != (self.satellite is not None):
            needs = "needs" if self.satellite is None else "has no place for"
            raise ValueError(f"satellite: a link of kind '{self.link.kind}' {needs} a satellite")
        return self

    @property
    def flies(self) -> bool:
        """Whether a drone is at the receiver's end, so that positions of a world fit it."""
        return self.link.kind in ("ground_drone", "drone_drone", "satellite_drone")

    def hops(self, round_number: int, ends: tuple[Array, Array] | None = None) -> list[Budget]:
        """Returns the budgets that a key has to cross, one, or two by a trusted relay.

        Args:
            round_number: The round, which a satellite moves with.
            ends: Positions ``(3,)`` of sender and receiver in metres, where something else than
                the configuration knows them, such as a world.
        """
        sender, receiver = ends if ends is not None else self.ends(round_number)
        if self.relay is None:
            return [self.link.budget(sender, receiver, self.detector)]
        middle = np.array(self.relay.position)
        first = self.link.budget(sender, middle, self.detector)
        second = self.relay.onward.budget(middle, receiver, self.detector)
        if self.relay.kind == "trusted":
            return [first, second]
        return [first.relayed(second, self.relay.efficiency)]

    def ends(self, round_number: int) -> tuple[Array, Array]:
        """Returns the positions ``(3,)`` of sender and receiver in a round, metres."""
        receiver = np.array(self.receiver)
        if self.satellite is None:
            return np.array(self.sender), receiver
        # The satellite's frame has its origin on the ground below the receiver.
        ground = receiver * [1, 1, 0]
        return ground + self.satellite.position(round_number), receiver


class LinksConfig(Section):
    """The quantum links of a federation, or those that ``qmarl links`` looks at."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Root of the randomness, where no experiment gives its own."""
    secure: bool = False
    """Whether keys come from the system's entropy. Otherwise they follow from the seed, which
    repeats a run exactly and protects nothing."""
    default: LinkSection = LinkSection()
    """The link of everyone who is not named."""
    clients: dict[str, LinkSection] = Field(default={})
    """Links by pattern of client names; the first that fits counts."""

    def of(self, client: str) -> LinkSection:
        """Returns the link of a client."""
        from fnmatch import fnmatchcase

        fitting = (link for name, link in self.clients.items() if fnmatchcase(client, name))
        return next(fitting, self.default)
