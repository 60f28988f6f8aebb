"""Light through air and space: spreading, pointing, turbulence, extinction and stray light.

Positions are metres in a local frame with its origin on the ground: x and y level there, z up. The
Earth is a sphere, so a far satellite's height is more than its z.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from qmarl.types import Array

EARTH_RADIUS = 6_371_000.0
"""Metres."""
PLANCK_TIMES_LIGHT = 6.62607015e-34 * 2.99792458e8
"""``h c`` in J m."""
AIR_TOP = 30_000.0
"""Height in metres above which air neither bends nor swallows light here."""

_NODES = 48  # samples along a line through air


def height(positions: Array) -> Array:
    """Returns the height above the ground of positions ``(..., 3)``, in metres."""
    x, y, z = np.moveaxis(np.asarray(positions, float), -1, 0)
    flat = x**2 + y**2
    rise = flat + z * (2 * EARTH_RADIUS + z)  # exact also near the ground, unlike a difference
    return np.asarray(rise / (np.sqrt(flat + (EARTH_RADIUS + z) ** 2) + EARTH_RADIUS))


def in_sight(first: Array, second: Array) -> Array:
    """Says whether the Earth leaves the line between two positions ``(..., 3)`` free."""
    centre = np.array([0.0, 0.0, -EARTH_RADIUS])
    start, way = first - centre, second - first
    length = np.maximum((way**2).sum(-1), 1e-12)
    nearest = np.clip(-(start * way).sum(-1) / length, 0, 1)
    return height(first + nearest[..., None] * way) >= -1e-3


def air_path(first: Array, second: Array) -> tuple[Array, Array, Array]:
    """Samples the part of a line that lies in air, densely near its lower end.

    Returns:
        Heights ``(..., 48)`` in metres, shares ``(..., 48)`` of the way from ``first``, and the
        weights ``(..., 48)`` in metres that turn sums into integrals along the line.
    """
    upward = second[..., 2] >= first[..., 2]
    low = np.where(upward[..., None], first, second)
    high = np.where(upward[..., None], second, first)
    way = high - low
    rise = np.maximum(way[..., 2], 1e-9)
    part = np.minimum(1.0, np.maximum(AIR_TOP - low[..., 2], 0) / rise)[..., None]
    at, weight = _quadrature()
    share = part * at**3
    length = np.linalg.norm(way, axis=-1)[..., None]
    weights = length * part * 3 * at**2 * weight
    heights = height(low[..., None, :] + share[..., None] * way[..., None, :])
    return heights, np.where(upward[..., None], share, 1 - share), weights


def turbulence(heights: Array, ground: float, wind: float) -> Array:
    """Returns the structure constant ``Cn2`` in m^(-2/3) (Hufnagel-Valley model).

    Args:
        heights: Metres above the ground.
        ground: ``Cn2`` at the ground; 1.7e-14 is the model's usual value, 0 is still air.
        wind: Wind at great height, m/s; 21 is usual.
    """
    if ground == 0:
        return np.zeros_like(heights)
    h = np.clip(heights, 0, None)
    upper = 0.00594 * (wind / 27) ** 2 * (1e-5 * h) ** 10 * np.exp(-h / 1000)
    return upper + 2.7e-16 * np.exp(-h / 1500) + ground * np.exp(-h / 100)


def coherence_radius(cn2: Array, share: Array, weights: Array, wavelength: float) -> Array:
    """Returns the radius ``rho_0`` in metres over which a spherical wave stays coherent.

    ``[1.46 k^2 int (1 - z/L)^(5/3) Cn2 dz]^(-3/5)`` (Fante 1975; Pirandola 2021, arXiv:2012.01725).
    Infinite in still air. Air near the sender counts most, so a way up is worse than a way down.
    """
    total = (np.clip(1 - share, 0, 1) ** (5 / 3) * cn2 * weights).sum(-1)
    with np.errstate(divide="ignore"):
        return np.asarray((1.46 * (2 * np.pi / wavelength) ** 2 * total) ** -0.6)


def spot(
    distance: Array, waist: float, wavelength: float, coherence: Array | float, jitter: float
) -> Array:
    """Returns the radius in metres within which the mean intensity falls to ``exp(-2)``.

    ``w0^2 [1 + (z/zR)^2] + 2 (lambda z / (pi rho_0))^2 + 4 (jitter z)^2``: diffraction, turbulence
    in the long term (Fante 1975), and a beam that points here and there.

    Args:
        distance: Metres.
        waist: ``w0`` at the sender, metres.
        wavelength: Metres.
        coherence: ``rho_0``, metres.
        jitter: Standard deviation of pointing in each of two directions, rad.
    """
    rayleigh = np.pi * waist**2 / wavelength
    spread = 2 * (wavelength * distance / (np.pi * np.asarray(coherence, float))) ** 2
    wander = 4 * (jitter * distance) ** 2
    return np.sqrt(waist**2 * (1 + (distance / rayleigh) ** 2) + spread + wander)


def collected(aperture: float, radius: Array) -> Array:
    """Returns the share of a beam of such a radius that an aperture of such a radius takes in."""
    return -np.expm1(-2 * (aperture / radius) ** 2)


def ground_extinction(visibility: float, wavelength: float) -> float:
    """Returns the extinction of hazy air at the ground, for each metre (Kim 2001).

    Args:
        visibility: How far one sees, metres.
        wavelength: Metres.
    """
    return float(3.91 / visibility * (550e-9 / wavelength) ** _haze_exponent(visibility / 1000))


def rain_extinction(rate: float) -> float:
    """Returns the extinction of rain of ``rate`` mm/h, for each metre (Carbonneau 1998)."""
    return float(1.076 * rate**0.67 * math.log(10) / 10_000) if rate else 0.0


def stray_photons(
    radiance: float, view: float, aperture: float, band: float, gate: float, wavelength: float
) -> float:
    """Returns the sky's photons that enter a telescope in one gate.

    ``H Omega A dl dt lambda / (h c)`` (Miao et al. 2005).

    Args:
        radiance: ``H``, W / (m^2 sr nm).
        view: Full angle of the field of view, rad.
        aperture: Radius of the telescope, metres.
        band: Width of the filter, nm.
        gate: Seconds.
        wavelength: Metres.
    """
    solid = np.pi * (view / 2) ** 2
    power = radiance * solid * np.pi * aperture**2 * band
    return float(power * gate * wavelength / PLANCK_TIMES_LIGHT)


@cache
def _quadrature() -> tuple[Array, Array]:
    """Points in (0, 1) and weights of Gauss and Legendre; made when first needed."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return (nodes + 1) / 2, weights / 2


def _haze_exponent(kilometres: float) -> float:
    """How much less haze swallows at longer waves: not at all in fog."""
    if kilometres > 50:
        return 1.6
    if kilometres > 6:
        return 1.3
    return 0.16 * kilometres + 0.34 if kilometres > 1 else max(0.0, kilometres - 0.5)
