"""Quantum links from geometry: how much light arrives, how much noise, and what key that gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from qmarl.config import Section
from qmarl.secure import optics, rates
from qmarl.secure.pulses import Receiver
from qmarl.types import Array

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]

VISIBILITY = {"clear": 23_000.0, "haze": 4_000.0, "mist": 1_500.0, "fog": 300.0, "rain": 12_000.0}
"""How far one sees in each weather, metres."""
RADIANCE = {"night": 1.5e-6, "day": 1.5e-2, "cloudy_day": 1.5e-1, "dark": 0.0}
"""Brightness of each sky, W / (m^2 sr nm): moonlit night and day as in Miao et al. 2005."""


class DetectorConfig(Section):
    """A receiver's detectors and their clock."""

    efficiency: Share = 0.5
    """Probability that a photon at the receiver's door gives a click, its optics included."""
    dark_rate: Annotated[float, Field(ge=0)] = 100.0
    """Clicks a second of one detector in the dark."""
    detectors: Annotated[int, Field(ge=1, le=8)] = 2
    """Detectors that listen in a gate."""
    gate: Positive = 1e-9
    """Length of the gate around a pulse, s."""
    dead_time: Annotated[float, Field(ge=0)] = 50e-9
    """Time after a click in which a receiver does not listen, s."""
    misalignment: Annotated[float, Field(ge=0, lt=0.5)] = 0.01
    """Probability that a photon meets the wrong detector."""
    pulse_rate: Positive = 1e8
    """Pulses a second."""

    @property
    def dark_clicks(self) -> float:
        """Probability of a dark click for each pulse."""
        return self.detectors * self.dark_rate * self.gate


@dataclass(frozen=True)
class Budget:
    """What links carry, one entry for each of many.

    Attributes:
        transmittance: Share of the light that reaches the receiver's door.
        background: Probability of a click without a photon, for each pulse.
        detector: The receiver.
    """

    transmittance: Array
    background: Array
    detector: DetectorConfig

    @property
    def loss_db(self) -> Array:
        """Loss of the link in dB, without the detector."""
        with np.errstate(divide="ignore"):
            return np.asarray(-10 * np.log10(self.transmittance))

    def receiver(self, index: tuple[int, ...] = ()) -> Receiver:
        """Returns one link as a session takes it."""
        found = self.detector
        return Receiver(
            transmittance=float(self.transmittance[index]),
            efficiency=found.efficiency,
            background=float(self.background[index]),
            misalignment=found.misalignment,
            dead_pulses=round(found.dead_time * found.pulse_rate),
        )

    def key_rate(self, photons: float = 0.5, error_correction: float = 1.16) -> Array:
        """Returns secret bits a second of BB84 with decoys, in the limit of endless sessions.

        Args:
            photons: Mean number of photons of a signal pulse.
            error_correction: Efficiency ``f``, at least 1.
        """
        found, eta = self.detector, self.transmittance * self.detector.efficiency
        seen = rates.coherent(photons, eta, self.background, found.misalignment)
        worth = rates.decoy_rate(
            photons, eta, self.background, found.misalignment, error_correction
        )
        return np.asarray(found.pulse_rate * awake(seen.gain, found) * np.clip(worth, 0, None))

    def relayed(self, onward: Budget, efficiency: float = 0.8) -> Budget:
        """Returns the link by way of a drone that only passes the light on.

        Such a relay needs no trust: it is one more lossy mirror (Liu et al. 2021).

        Args:
            onward: From the relay to the receiver, whose detectors count.
            efficiency: Share of the light that the relay passes on.
        """
        through = self.transmittance * onward.transmittance * efficiency
        return Budget(through, np.broadcast_to(onward.background, through.shape), onward.detector)


def trusted_relay(first: Array, second: Array) -> Array:
    """Returns the key rate over a relay that makes keys on both sides and knows them."""
    return np.minimum(first, second)


def awake(gain: Array, detector: DetectorConfig) -> Array:
    """Returns the share of pulses for which a receiver that is blind after each click listens."""
    return 1 / (1 + gain * detector.pulse_rate * detector.dead_time)


class FibreLink(Section):
    """Glass fibre between two positions, or of a given length."""

    shorthand: ClassVar[str | None] = "kind"

    kind: Literal["fibre"] = "fibre"
    """The link's name in the configuration."""
    attenuation: Annotated[float, Field(ge=0)] = 0.2
    """Loss for each kilometre, dB."""
    fixed_loss: Annotated[float, Field(ge=0)] = 0.0
    """Loss of connectors and switches, dB."""
    detour: Annotated[float, Field(ge=1)] = 1.0
    """Length of the fibre over the straight distance."""

    def along(self, kilometres: Array | float, detector: DetectorConfig) -> Budget:
        """Returns the budget of fibres of such lengths."""
        loss = self.fixed_loss + self.attenuation * np.asarray(kilometres, float)
        return Budget(10 ** (-loss / 10), np.full(np.shape(loss), detector.dark_clicks), detector)

    def budget(self, sender: Array, receiver: Array, detector: DetectorConfig) -> Budget:
        """Returns the budget between positions ``(..., 3)`` in metres, which are broadcast."""
        distance = np.linalg.norm(np.asarray(receiver, float) - sender, axis=-1)
        return self.along(self.detour * distance / 1000, detector)


class _Optical(Section):
    """What all links through air and space have in common."""

    shorthand: ClassVar[str | None] = "kind"

    wavelength: Positive = 850e-9
    """Wavelength, m."""
    waist: Positive
    """Radius of the beam at the sender, m."""
    aperture: Positive
    """Radius of the receiver's telescope, m."""
    jitter: Annotated[float, Field(ge=0)]
    """Standard deviation of pointing in each direction, rad."""
    optics_efficiency: Share = 0.8
    """Share of the light that the optics pass on."""
    weather: Literal["clear", "haze", "mist", "fog", "rain"] = "clear"
    """Weather on the way; it sets how far one sees."""
    rain_rate: Annotated[float, Field(ge=0)] = 10.0
    """Rain in mm/h, where the weather is ``rain``."""
    haze_height: Positive = 1200.0
    """Height over which haze and rain fall to 1/e, m."""
    turbulence: Annotated[float, Field(ge=0)] = 1.7e-14
    """Structure constant of the air at the ground, m^(-2/3); 0 for still air."""
    high_wind: Annotated[float, Field(ge=0)] = 21.0
    """Wind at great height, m/s, which stirs the upper air."""
    sky: Literal["dark", "night", "day", "cloudy_day"] = "night"
    """Brightness of the sky behind the sender."""
    view: Positive = 1e-4
    """Full field of view of the receiver, rad."""
    band: Positive = 1.0
    """Width of the receiver's filter, nm."""

    def budget(self, sender: Array, receiver: Array, detector: DetectorConfig) -> Budget:
        """Returns the budget between positions in metres.

        Args:
            sender: ``(..., 3)`` positions, such as the ``(E, A, 3)`` of a world.
            receiver: ``(..., 3)`` positions, broadcast against the senders'.
            detector: What counts the photons.

        Returns:
            Entries of the broadcast shape ``(...)``; nothing arrives from beyond the horizon.
        """
        first, second = np.broadcast_arrays(np.asarray(sender, float), np.asarray(receiver, float))
        heights, share, weights = optics.air_path(first, second)
        cn2 = optics.turbulence(heights, self.turbulence, self.high_wind)
        coherence = optics.coherence_radius(cn2, share, weights, self.wavelength)
        distance = np.linalg.norm(second - first, axis=-1)
        radius = optics.spot(distance, self.waist, self.wavelength, coherence, self.jitter)
        air = np.exp(-self._ground_extinction() * (self._thinning(heights) * weights).sum(-1))
        found = self.optics_efficiency * optics.collected(self.aperture, radius) * air
        found = np.where(optics.in_sight(first, second), found, 0.0)
        return Budget(found, np.full(found.shape, self._background(detector)), detector)

    def pairs(self, positions: Array, detector: DetectorConfig) -> Budget:
        """Returns the budgets between all agents.

        Args:
            positions: ``(E, A, 3)`` metres.
            detector: What counts the photons.

        Returns:
            Entries ``(E, A, A)`` from the first agent to the second; none from one to itself.
        """
        found = self.budget(positions[..., :, None, :], positions[..., None, :, :], detector)
        apart = ~np.eye(positions.shape[-2], dtype=bool)
        return Budget(found.transmittance * apart, found.background, detector)

    def _ground_extinction(self) -> float:
        haze = optics.ground_extinction(VISIBILITY[self.weather], self.wavelength)
        rain = optics.rain_extinction(self.rain_rate) if self.weather == "rain" else 0.0
        return haze + rain

    def _thinning(self, heights: Array) -> Array:
        return np.exp(-np.clip(heights, 0, None) / self.haze_height)

    def _background(self, detector: DetectorConfig) -> float:
        stray = optics.stray_photons(
            RADIANCE[self.sky], self.view, self.aperture, self.band, detector.gate, self.wavelength
        )
        return min(1.0, detector.dark_clicks + stray * self.optics_efficiency * detector.efficiency)


class GroundDroneLink(_Optical):
    """Between a station on the ground and a drone, either way."""

    kind: Literal["ground_drone"] = "ground_drone"
    """The link's name in the configuration."""
    waist: Positive = 0.02
    """Radius of the beam at the sender, m."""
    aperture: Positive = 0.05
    """Radius of the receiver's telescope, m."""
    jitter: Annotated[float, Field(ge=0)] = 2e-5
    """Standard deviation of pointing in each direction, rad."""


class DroneDroneLink(_Optical):
    """Between two drones, with small telescopes that shake."""

    kind: Literal["drone_drone"] = "drone_drone"
    """The link's name in the configuration."""
    waist: Positive = 0.012
    """Radius of the beam at the sender, m."""
    aperture: Positive = 0.013
    """Radius of the receiver's telescope, m."""
    jitter: Annotated[float, Field(ge=0)] = 4e-5
    """Standard deviation of pointing in each direction, rad."""


class SatelliteGroundLink(_Optical):
    """Between a satellite and the ground; a way down loses less than a way up."""

    kind: Literal["satellite_ground"] = "satellite_ground"
    """The link's name in the configuration."""
    waist: Positive = 0.05
    """Radius of the beam at the sender, m."""
    aperture: Positive = 0.5
    """Radius of the receiver's telescope, m."""
    jitter: Annotated[float, Field(ge=0)] = 1e-6
    """Standard deviation of pointing in each direction, rad."""


class SatelliteDroneLink(_Optical):
    """Between a satellite and a drone, which carries a small telescope."""

    kind: Literal["satellite_drone"] = "satellite_drone"
    """The link's name in the configuration."""
    waist: Positive = 0.15
    """Radius of the beam at the sender, m."""
    aperture: Positive = 0.1
    """Radius of the receiver's telescope, m."""
    jitter: Annotated[float, Field(ge=0)] = 1e-6
    """Standard deviation of pointing in each direction, rad."""


LinkConfig = Annotated[
    FibreLink | GroundDroneLink | DroneDroneLink | SatelliteGroundLink | SatelliteDroneLink,
    Field(discriminator="kind"),
]
"""Any link, by its ``kind``."""


def satellite_positions(seconds: Array, altitude: float, culmination: float = np.pi / 2) -> Array:
    """Returns where a satellite on a circular orbit is, seen from a station at the origin.

    Args:
        seconds: ``(t,)`` time from the pass's middle.
        altitude: Height of the orbit, metres.
        culmination: Greatest elevation of the pass, rad; pi/2 passes overhead. The Earth's turning
            is left out.

    Returns:
        ``(t, 3)`` metres in the station's frame; below the horizon z is negative.
    """
    radius, ground = optics.EARTH_RADIUS + altitude, optics.EARTH_RADIUS
    angle = np.sqrt(3.986004418e14 / radius**3) * np.asarray(seconds, float)
    # Angle at the Earth's centre between the station and the orbit's plane.
    aside = np.pi / 2 - culmination - np.arcsin(ground * np.cos(culmination) / radius)
    along, across = np.sin(angle), np.cos(angle)
    return np.stack(
        [
            radius * along,
            radius * across * np.sin(aside),
            radius * across * np.cos(aside) - ground,
        ],
        -1,
    )
