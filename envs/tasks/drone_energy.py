"""What a rotary-wing drone's flight costs in watts.

The model of Zeng, Xu and Zhang, "Energy minimization for wireless communication with rotary-wing
UAV", IEEE Transactions on Wireless Communications 18(4), 2019, with its table of constants for a
drone of 20 N.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from qmarl.types import Array

WEIGHT: Final = 20.0
"""Weight, N."""
AIR_DENSITY: Final = 1.225
"""kg/m^3."""
ROTOR_AREA: Final = 0.503
"""Area of the rotor disc A, m^2."""
ROTOR_RADIUS: Final = 0.4
"""Rotor radius R, m."""
BLADE_SPEED: Final = 300.0
"""Angular speed of the blades, rad/s."""
TIP_SPEED: Final = BLADE_SPEED * ROTOR_RADIUS
"""Speed of the blades' tips U, 120 m/s."""
SOLIDITY: Final = 0.05
"""Rotor solidity s."""
PROFILE_DRAG: Final = 0.012
"""Profile drag coefficient."""
BODY_DRAG: Final = 0.6
"""Fuselage drag ratio d0."""
INDUCED_CORRECTION: Final = 0.1
"""Incremental correction of the induced power k."""
HOVER_SPEED: Final = 4.03
"""Mean induced velocity of the rotor in hover v0, m/s."""

PROFILE_POWER: Final = (
    PROFILE_DRAG / 8 * AIR_DENSITY * SOLIDITY * ROTOR_AREA * BLADE_SPEED**3 * ROTOR_RADIUS**3
)
"""Blade profile power in hover P0, 79.86 W."""
INDUCED_POWER: Final = (
    (1 + INDUCED_CORRECTION) * WEIGHT**1.5 / math.sqrt(2 * AIR_DENSITY * ROTOR_AREA)
)
"""Induced power in hover Pi, 88.63 W."""
HOVER_POWER: Final = PROFILE_POWER + INDUCED_POWER
"""Power in hover, 168.5 W."""


def propulsion_power(velocity: Array) -> Array:
    """Power that flight takes.

    Level flight through still air takes ``P0 (1 + 3 v^2 / U^2) + Pi (sqrt(1 + v^4 / 4 v0^4) -
    v^2 / 2 v0^2)^(1/2) + d0 rho s A v^3 / 2``; it is cheapest at about 10 m/s, a quarter below
    hovering. A climb adds weight times its speed, the rate of potential energy; a descent gives
    nothing back.

    Args:
        velocity: ``(..., 3)`` m/s, z up.

    Returns:
        ``(...)`` W.
    """
    x, y, climb = velocity[..., 0], velocity[..., 1], velocity[..., 2]
    square = (x * x + y * y).astype(np.float64)
    profile = PROFILE_POWER * (1 + 3 * square / TIP_SPEED**2)
    relative = square / (2 * HOVER_SPEED**2)
    # The same as sqrt(1 + r^2) - r, without the difference of two large numbers.
    induced = INDUCED_POWER / np.sqrt(np.sqrt(1 + relative * relative) + relative)
    body = 0.5 * BODY_DRAG * AIR_DENSITY * SOLIDITY * ROTOR_AREA * square * np.sqrt(square)
    power: Array = profile + induced + body + WEIGHT * np.maximum(climb, 0)
    return power
