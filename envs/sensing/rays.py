"""Rays from agents to what stands in a world, to its border and to each other, analytically."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, final

import numpy as np

if TYPE_CHECKING:
    from envs.bodies import Bodies, Solids
    from qmarl.types import Array

_FAR = np.float32(1e6)  # m, beyond every reach
_STEEP = np.float32(1e12)  # stands for 1 / 0; finite, so that it never makes 0 * inf
_SLIGHT = 1e-7  # rays that lean less than this, in radians, are taken to be level or upright
_SKIN = np.float32(1e-5)  # m; who touches the border looks along it, not into it
_WORK = 131072  # numbers in an intermediate array: a few of them fit a core's own cache


class Hits(NamedTuple):
    """Distances along rays, ``(k, A, R)`` float32 m; the rays' reach where they meet nothing.

    Attributes:
        border: To the arena's walls, floor and ceiling.
        solid: To the nearest sphere, box or cylinder.
        mate: To the nearest other agent.
    """

    border: Array
    solid: Array
    mate: Array

    @property
    def nearest(self) -> Array:
        """To whatever is met first."""
        found: Array = np.minimum(np.minimum(self.border, self.solid), self.mate)
        return found


class _Part(NamedTuple):
    """Worlds that are looked at in one go: ``n = A w`` agents, in that order.

    Attributes:
        position: ``(3, A, w)`` m.
        turn: ``(n,)`` cosine and sine of the heading; None where all look along x.
        solids: What stands in the ``w`` worlds.
        work: Memory to compute in.
    """

    position: Array
    turn: tuple[Array, Array] | None
    solids: Solids
    work: Array

    def toward(self, points: Array) -> Array:
        """Vectors ``(3, n)`` to one point ``(w, 3)`` of each world."""
        return (points.T[:, None] - self.position).reshape(3, -1)

    def seen(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Parts ahead and to the left of vectors with parts ``(..., n)`` along x and y."""
        if self.turn is None:
            return x, y
        cos, sin = self.turn
        return x * cos + y * sin, y * cos - x * sin

    def each(self, numbers: Array) -> Array:
        """Numbers ``(w, c)`` of each world for every agent there, ``(c, n)``."""
        return np.tile(numbers.T, self.position.shape[1])


@final
class RayCaster:
    """Casts the same rays from every agent; a ray that begins inside a body meets it at 0.

    Rays that lie opposite to each other share a line, and most of the work. All arithmetic is
    elementwise in float32, so a world's rays are the same bits whatever else is in the batch.

    Args:
        directions: ``(R, 3)`` unit vectors, seen from a level body that looks along x.
        agents: Number ``A`` of agents.
        arena: ``(2, 3)`` lower and upper corner in metres, or None for an open world.
        reach: Length of the rays, m.
    """

    def __init__(
        self, directions: Array, agents: int, arena: Array | None, reach: float = 1000.0
    ) -> None:
        half = len(directions) // 2
        self._paired = 2 * half == len(directions) and np.allclose(
            directions[:half], -directions[half:], atol=_SLIGHT
        )
        lines = directions[:half] if self._paired else directions
        lines = np.where(np.abs(lines) < _SLIGHT, 0, lines).astype(np.float32)
        self._ahead, self._aside, self._up = lines.T[..., None].copy()
        self._level = not self._up.any()
        ways = (self._ahead, self._aside) if self._level else (self._ahead, self._aside, self._up)
        with np.errstate(divide="ignore"):
            self._still_slopes: list[Array] = [1 / way for way in ways]
        self._rays, self._agents = len(directions), agents
        self._arena, self._reach = arena, np.float32(reach)
        # Each agent's mates, in an order of its own.
        self._mates: Array = (np.arange(1, agents)[:, None] + np.arange(agents)) % agents
        self._work: Array = np.zeros(0, np.float32)

    def cast(self, bodies: Bodies, solids: Solids) -> Hits:
        """Casts all rays of the agents of ``k`` worlds, and says what they meet.

        Args:
            bodies: Where they are and look.
            solids: What stands in the same worlds.
        """
        found = np.empty((3, *bodies.heading.shape, self._rays), np.float32)
        for rows, hits in self._parts(bodies, solids, 3):
            for array, part in zip(found, hits, strict=True):
                array[rows] = self._by_world(part)
        return Hits(*found)

    def nearest(self, bodies: Bodies, solids: Solids) -> Array:
        """Casts as :meth:`cast` does, and returns the distances to whatever is met first."""
        found = np.empty((*bodies.heading.shape, self._rays), np.float32)
        for rows, hits in self._parts(bodies, solids, 1):
            found[rows] = self._by_world(hits.mate)
        return found

    def _by_world(self, distances: Array) -> Array:
        """Distances ``(R, n)`` as ``(w, A, R)``."""
        return distances.reshape(self._rays, self._agents, -1).transpose(2, 1, 0)

    def _parts(self, bodies: Bodies, solids: Solids, kinds: int) -> Iterator[tuple[slice, Hits]]:
        """Distances ``(R, n)`` of some worlds after the others, to be used up at once.

        With one kind of distance, they are all the same array: what is met first.
        """
        rays, lines, (worlds, agents) = self._rays, len(self._ahead), bodies.heading.shape
        balls = max(1, solids.spheres.shape[1] + (agents - 1) * (solids.radii is not None))
        size = max(1, min(worlds, _WORK // (lines * agents * balls)))
        self._make_room(size * agents * ((2 * lines + rays) * balls + 3 * rays))
        for first in range(0, worlds, size):
            rows = slice(first, first + size)
            heading = bodies.heading[rows].T.ravel()
            part = _Part(
                np.ascontiguousarray(bodies.position[rows].transpose(2, 1, 0)),
                (np.cos(heading), np.sin(heading)) if heading.any() else None,
                solids.take(rows),
                self._work,
            )
            used = kinds * rays * len(heading)
            found = self._work[-used:].reshape(kinds, rays, -1)
            found.fill(self._reach)
            hits = Hits(*found) if kinds == 3 else Hits(found[0], found[0], found[0])
            with np.errstate(invalid="ignore", divide="ignore"):
                self._cast(part, hits)
            yield rows, hits

    def _make_room(self, numbers: int) -> None:
        """Sees to it that there is room to work in; it is kept, since fresh memory is slow."""
        if len(self._work) < numbers:
            self._work = np.empty(numbers, np.float32)

    def _cast(self, part: _Part, found: Hits) -> None:
        """Lowers distances to what the rays of some worlds meet."""
        solids, arena = part.solids, self._arena
        boxes, cylinders = solids.boxes, solids.cylinders
        self._to_balls(part, found)
        if arena is not None or boxes.shape[1]:
            slopes = self._slopes(part)
            if arena is not None:
                self._to_border(part, slopes, arena, found.border)
            for index in range(boxes.shape[1]):
                self._to_box(part, slopes, boxes[:, index], found.solid)
        for index in range(cylinders.shape[1]):
            self._to_cylinder(part, cylinders[:, index], found.solid)

    def _to_balls(self, part: _Part, found: Hits) -> None:
        """Spheres and team mates, all at once."""
        centres, radii, spheres = self._balls(part)
        if not len(radii):
            return
        x, y, z = centres - part.position.reshape(3, 1, -1)
        spare = np.where(radii > 0, radii * radii - (x * x + y * y + z * z), -_FAR * _FAR)
        ahead, aside = part.seen(x, y)
        lines, numbers = len(self._ahead), len(self._ahead) * radii.size
        sides = self._rays // lines
        work = part.work[: (2 + sides) * numbers].reshape(2 + sides, lines, -1)
        along, root = work[:2]
        self._project((ahead, aside, z), along, root)
        np.multiply(along, along, out=root)
        root += spare.reshape(-1)
        np.sqrt(root, out=root)  # not a number where a line passes by
        distances = work[2:]
        np.subtract(along, root, out=distances[0])
        if self._paired:
            np.add(along, root, out=distances[1])
            np.negative(distances[1], out=distances[1])
        _keep(distances.reshape(self._rays, *radii.shape), spheres, found)
        inside = spare >= 0
        if inside.any():
            found.solid[:, inside[:spheres].any(0)] = 0
            found.mate[:, inside[spheres:].any(0)] = 0

    def _balls(self, part: _Part) -> tuple[Array, Array, int]:
        """Centres ``(3, S, n)``, radii ``(S, n)`` and how many are solids, the rest being mates."""
        spheres, radii = part.solids.spheres, part.solids.radii
        agents, worlds = part.position.shape[1:]
        count, mates = spheres.shape[1], 0 if radii is None else agents - 1
        found = np.empty((4, count + mates, agents, worlds), np.float32)
        found[:, :count] = spheres.transpose(2, 1, 0)[:, :, None]
        if radii is not None:
            found[:3, count:] = part.position[:, self._mates]
            found[3, count:] = radii.T[self._mates]
        flat = found.reshape(4, count + mates, agents * worlds)
        return flat[:3], flat[3], count

    def _project(self, vectors: tuple[Array, Array, Array], out: Array, work: Array) -> None:
        """Scalar products ``(L, m)`` of the lines with vectors, given by components ``m``."""
        ahead, aside, up = vectors
        np.multiply(self._ahead, ahead.reshape(-1), out=out)
        np.multiply(self._aside, aside.reshape(-1), out=work)
        out += work
        if not self._level:
            np.multiply(self._up, up.reshape(-1), out=work)
            out += work

    def _slopes(self, part: _Part) -> list[Array]:
        """Metres along each line per metre along x, y and, where any is not level, z.

        They are ``(L, n)``, or ``(L, 1)`` where all agents look along x; infinite across an axis.
        """
        if part.turn is None:
            return self._still_slopes
        cos, sin = part.turn
        ways = [self._ahead * cos - self._aside * sin, self._ahead * sin + self._aside * cos]
        return [*(1 / way for way in ways), *self._still_slopes[2:]]

    def _to_border(self, part: _Part, slopes: list[Array], arena: Array, out: Array) -> None:
        """Walls, floor and ceiling, seen from within; who is beyond one touches it."""
        lines, (low, high) = len(self._ahead), arena.astype(np.float32)[..., None, None]
        places = np.clip(part.position, low, high)
        for slope, place, near, far in zip(slopes, places, low - _SKIN, high + _SKIN, strict=False):
            one, other = slope * (near - place).ravel(), slope * (far - place).ravel()
            distances = part.work[: out.size].reshape(out.shape)
            np.maximum(one, other, out=distances[:lines])
            if self._paired:
                np.minimum(one, other, out=distances[lines:])
                np.negative(distances[lines:], out=distances[lines:])
            np.minimum(out, distances, out=out)

    def _to_box(self, part: _Part, slopes: list[Array], box: Array, out: Array) -> None:
        """A box ``(w, 6)`` in each world, by the slabs between its faces (Kay and Kajiya 1986)."""
        away, half = part.toward(box[:, :3]), part.each(box[:, 3:])
        span = _Span.along((len(self._ahead), half.shape[1]))
        for axis, steep in enumerate(slopes):
            slope = np.clip(steep, -_STEEP, _STEEP)
            span.narrow(slope * (away[axis] - half[axis]), slope * (away[axis] + half[axis]))
        there = half.max(0) > 0
        if self._level:
            there &= np.abs(away[2]) <= half[2]
        self._meet(span, there, out)

    def _to_cylinder(self, part: _Part, cylinder: Array, out: Array) -> None:
        """An upright cylinder ``(w, 5)`` in each world."""
        x, y, z = part.toward(cylinder[:, :3])
        radius, half = part.each(cylinder[:, 3:])
        ahead, aside = part.seen(x, y)
        share = 1 / np.maximum(self._ahead**2 + self._aside**2, 1 / _STEEP)
        middle = (self._ahead * ahead + self._aside * aside) * share
        reach = np.sqrt(middle * middle - (x * x + y * y - radius * radius) * share)
        span = _Span.along(middle.shape)
        span.narrow(middle - reach, middle + reach)
        there = radius > 0
        if self._level:
            there &= np.abs(z) <= half
        else:
            slope = np.clip(1 / self._up, -_STEEP, _STEEP)
            span.narrow(slope * (z - half), slope * (z + half))
        self._meet(span, there, out)

    def _meet(self, span: _Span, there: Array, out: Array) -> None:
        """Lowers distances ``(R, n)`` to where bodies that are ``there`` ``(n,)`` are entered."""
        lines = len(span.enter)
        met = (span.enter <= span.leave) & there
        ahead, behind = met & (span.leave >= 0), met & (span.enter <= 0)
        np.minimum(out[:lines], np.maximum(span.enter, 0), out=out[:lines], where=ahead)
        if self._paired:
            entered = np.maximum(-span.leave, 0)
            np.minimum(out[lines:], entered, out=out[lines:], where=behind)


class _Span(NamedTuple):
    """The stretch of every line ``(L, n)`` that lies within a body, m; negative is behind."""

    enter: Array
    leave: Array

    @classmethod
    def along(cls, shape: tuple[int, ...]) -> _Span:
        """All of each line."""
        return cls(np.full(shape, -_FAR), np.full(shape, _FAR))

    def narrow(self, one: Array, other: Array) -> None:
        """Keeps what lies between two distances; nothing where they are not numbers."""
        np.maximum(self.enter, np.minimum(one, other), out=self.enter)
        np.minimum(self.leave, np.maximum(one, other), out=self.leave)


def _keep(distances: Array, spheres: int, found: Hits) -> None:
    """Lowers the distances found to ``(R, S, n)`` along rays to balls, spheres first."""
    if found.solid is found.mate:
        _lower(found.mate, distances)
        return
    if spheres:
        _lower(found.solid, distances[:, :spheres])
    if spheres < distances.shape[1]:
        _lower(found.mate, distances[:, spheres:])


def _lower(out: Array, distances: Array) -> None:
    """Lowers ``(L, n)`` to the least of ``(L, S, n)`` that is a number and not negative.

    It compares the floats' bits as whole numbers: in that order what is negative and what is not a
    number comes after every positive number.
    """
    bits = np.minimum.reduce(distances.view(np.uint32), axis=1)
    np.minimum(out.view(np.uint32), bits, out=out.view(np.uint32))
