"""All sensors of a team: what agents take the world to be, and the readings that they get."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from envs.bodies import Bodies
from envs.sensing.communication import Radio
from envs.sensing.config import SensorsConfig
from envs.sensing.noise import StepDraws
from envs.sensing.quantity import Quantity
from envs.sensing.scanner import Scanner

if TYPE_CHECKING:
    from envs.bodies import Solids
    from qmarl.types import Array


def make_sensors(config: SensorsConfig, shape: tuple[int, int], arena: Array) -> SensorSuite | None:
    """Makes the sensors of ``E`` worlds of ``A`` agents; None where there are none.

    Args:
        config: Which they are.
        shape: ``(E, A)``.
        arena: ``(2, 3)`` lower and upper corner in metres.
    """
    carried = config.model_dump(exclude={"border"}, exclude_none=True)
    return SensorSuite(config, shape, arena) if carried else None


@final
class SensorSuite:
    """The sensors of ``E`` worlds; implements :class:`envs.batch.Sensors`.

    What goes wrong in a step follows from the seed, the world, its episode and the step alone. In
    the first moment of an episode no sensor drops out.

    Args:
        config: Which sensors there are.
        shape: ``(E, A)``.
        arena: ``(2, 3)`` lower and upper corner in metres.

    Attributes:
        draws: How many random numbers an episode needs: its biases.
        size: Numbers that the readings add to each agent's observation.
    """

    def __init__(self, config: SensorsConfig, shape: tuple[int, int], arena: Array) -> None:
        border = arena if config.border else None
        carried = [given for given in (config.ranger, config.lidar, config.camera) if given]
        self._scanners = [Scanner(given, shape, border) for given in carried]
        self._quantities = [
            Quantity(config.position, (*shape, 3)),
            Quantity(config.velocity, (*shape, 3)),
            Quantity(config.heading, shape, angle=True),
        ]
        self._radios = [Radio(given, shape) for given in (config.communication,) if given]
        self._plain = not self._radios and all(each.exact for each in self._quantities)
        self._rows, self._perceived_at = np.arange(shape[0]), np.full(shape[0], -1)
        parts: list[Scanner | Quantity | Radio]
        parts = [*self._scanners, *self._quantities, *self._radios]
        self._ends = np.cumsum([part.draws for part in parts]).tolist()
        self._numbers: StepDraws | None = None
        self.draws = sum(quantity.biases for quantity in self._quantities)
        self.size = sum(scanner.size for scanner in self._scanners)

    def start(self, seed: int, envs: Array) -> None:
        """Names the random streams; see :class:`envs.batch.Sensors`."""
        self._numbers = StepDraws(seed, envs, self._ends[-1])

    def begin(self, rows: Array, episodes: Array, uniform: Array) -> None:
        """Starts episodes and draws their biases; see :class:`envs.batch.Sensors`."""
        assert self._numbers is not None
        self._numbers.begin(rows, episodes)
        self._perceived_at[rows] = -1
        ends = np.cumsum([quantity.biases for quantity in self._quantities])
        for quantity, own in zip(self._quantities, np.split(uniform, ends, 1)[:3], strict=True):
            quantity.begin(rows, own)

    def perceive(self, bodies: Bodies, steps: Array) -> Bodies:
        """What agents take the bodies' places to be; see :class:`envs.batch.Sensors`.

        Only worlds whose time has moved on are perceived anew.
        """
        if self._plain:
            return bodies
        rows = np.flatnonzero(self._perceived_at != steps)
        self._perceived_at[rows] = steps[rows]
        first, draws = steps[rows] == 0, self._take(rows, steps)[len(self._scanners) :]
        truths = (bodies.position, bodies.velocity, bodies.heading)
        measured = [
            quantity.measure(truth, rows, first, own)
            for quantity, truth, own in zip(self._quantities, truths, draws[:3], strict=True)
        ]
        heard = [radio.heard(bodies.position, rows, draws[-1]) for radio in self._radios]
        return Bodies(*measured, *heard)

    def readings(self, bodies: Bodies, solids: Solids, steps: Array, rows: Array | slice) -> Array:
        """Readings ``(k, A, size)``, float32 within [0, 1]; see :class:`envs.batch.Sensors`."""
        own, standing = self._rows[rows], solids.take(rows)
        here = Bodies(bodies.position[rows], bodies.velocity[rows], bodies.heading[rows])
        first, draws = steps[own] == 0, self._take(own, steps)
        found = [
            scanner.read(here, standing, own, first, part)
            for scanner, part in zip(self._scanners, draws, strict=False)
        ]
        return found[0] if len(found) == 1 else np.concatenate(found, -1)

    def _take(self, rows: Array, steps: Array) -> list[Array]:
        """The draws of every part ``(k, draws)`` in its order; none where none needs any."""
        if not self._ends[-1]:
            return [np.zeros((len(rows), 0), np.uint16)] * len(self._ends)
        assert self._numbers is not None
        return np.split(self._numbers.take(rows, steps), self._ends[:-1], axis=1)
