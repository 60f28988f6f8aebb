import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.bodies import Bodies, Solids
from envs.sensing.geometry import ABSENT, gaps, surfaces
from envs.sensing.rays import RayCaster
from qmarl.types import Array

ARENA = np.array([[-3, -2, 0], [3, 2, 4]], np.float32)
REACH = 20.0


def solids_of(rng: np.random.Generator, worlds: int, count: int) -> Solids:
    centres = [rng.uniform([-2.5, -1.5, 0.5], [2.5, 1.5, 3.5], (worlds, count, 3)) for _ in "abc"]
    sizes = [rng.uniform(0.1, 0.8, (worlds, count, n)) for n in (1, 3, 2)]
    parts = [
        np.concatenate(pair, -1).astype(np.float32) for pair in zip(centres, sizes, strict=True)
    ]
    return Solids(*parts)


def bodies_of(rng: np.random.Generator, worlds: int, agents: int, turned: bool) -> Bodies:
    position = rng.uniform(ARENA[0], ARENA[1], (worlds, agents, 3)).astype(np.float32)
    heading = rng.uniform(-np.pi, np.pi, (worlds, agents)).astype(np.float32) * turned
    return Bodies(position, np.zeros_like(position), heading)


def ways(rng: np.random.Generator, count: int, level: bool) -> Array:
    rays = rng.standard_normal((count, 3))
    rays[:, 2] *= not level
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def marched(origin: Array, way: Array, solids: Solids, margin: float) -> float:
    """The first of many points along a ray whose gap to a surface is below a margin."""
    along = np.arange(0, REACH, 1e-3)
    points = (origin + along[:, None] * way).astype(np.float32)
    walls = np.minimum(points - ARENA[0], ARENA[1] - points).min(1)
    gap = np.minimum(gaps(points[None], solids)[0].min(1), walls)
    return float(along[np.argmax(gap < margin)])


def turned(ray: Array, heading: float) -> Array:
    cos, sin = math.cos(heading), math.sin(heading)
    return np.array([cos * ray[0] - sin * ray[1], sin * ray[0] + cos * ray[1], ray[2]])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), level=st.booleans(), paired=st.booleans(), turn=st.booleans())
def test_rays_meet_what_marching_meets(seed: int, level: bool, paired: bool, turn: bool) -> None:
    rng = np.random.default_rng(seed)
    rays, solids = ways(rng, 3, level), solids_of(rng, 1, 1)
    rays = np.concatenate([rays, -rays]) if paired else rays
    bodies = bodies_of(rng, 1, 2, turn)
    radii = rng.uniform(0.05, 0.5, (1, 2)).astype(np.float32)
    standing = Solids(solids.spheres, solids.boxes, solids.cylinders, radii)
    found = RayCaster(rays, 2, ARENA, REACH).nearest(bodies, standing)[0]
    for agent in range(2):
        mate = np.append(bodies.position[0, 1 - agent], radii[0, 1 - agent])
        balls = np.concatenate([solids.spheres, mate[None, None].astype(np.float32)], 1)
        everything = Solids(balls, solids.boxes, solids.cylinders)
        for ray, distance in zip(rays, found[agent], strict=True):
            way = turned(ray, float(bodies.heading[0, agent]))
            origin = bodies.position[0, agent]
            # Two margins, because a ray may graze a surface.
            assert distance >= marched(origin, way, everything, 1e-3) - 2e-3
            assert distance <= marched(origin, way, everything, -1e-3) + 2e-3


def alone(position: list[float], heading: float = 0.0) -> Bodies:
    place = np.array([[position]], np.float32)
    return Bodies(place, np.zeros_like(place), np.array([[heading]], np.float32))


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize(
    ("solids", "ahead", "behind"),
    [
        (Solids.of(1, spheres=np.array([[[2, 0, 1, 0.5]]], np.float32)), 1.5, 3.0),
        (Solids.of(1, spheres=np.array([[[-2, 0, 1, 0.5]]], np.float32)), 3.0, 1.5),
        (Solids.of(1, boxes=np.array([[[2, 0, 1, 0.5, 1, 1]]], np.float32)), 1.5, 3.0),
        (Solids.of(1, boxes=np.array([[[-2, 0, 1, 0.5, 1, 1]]], np.float32)), 3.0, 1.5),
        (Solids.of(1, cylinders=np.array([[[2, 0, 1, 0.5, 1]]], np.float32)), 1.5, 3.0),
        (Solids.of(1, cylinders=np.array([[[-2, 0, 1, 0.5, 1]]], np.float32)), 3.0, 1.5),
    ],
)
def test_distances_ahead_and_behind(
    solids: Solids, ahead: float, behind: float, paired: bool
) -> None:
    rays = np.array([[1, 0, 0], [-1, 0, 0]] + ([] if paired else [[0, 1, 0]]), np.float64)
    found = RayCaster(rays, 1, ARENA, REACH).nearest(alone([0, 0, 1]), solids)[0, 0]
    assert found[:2] == pytest.approx([ahead, behind], abs=1e-4)


@pytest.mark.parametrize(
    "solids",
    [
        Solids.of(1, spheres=np.array([[[0.1, 0, 1, 0.5]]], np.float32)),
        Solids.of(1, boxes=np.array([[[0.1, 0, 1, 0.5, 0.5, 0.5]]], np.float32)),
        Solids.of(1, cylinders=np.array([[[0.1, 0, 1, 0.5, 0.5]]], np.float32)),
    ],
)
def test_a_ray_from_inside_meets_the_body_at_once(solids: Solids) -> None:
    rays = np.array([[1, 0, 0], [0, 0.6, 0.8], [-1, 0, 0], [0, -0.6, -0.8]])
    found = RayCaster(rays, 1, ARENA, REACH).cast(alone([0, 0, 1]), solids)
    assert (found.solid == 0).all()
    assert (found.border > 0).all()
    assert (gaps(np.array([[[0, 0, 1]]], np.float32), solids) < 0).all()


def test_up_and_down_meet_caps_faces_floor_and_ceiling() -> None:
    rays = np.array([[0, 0, 1.0], [0, 0, -1.0]])
    cylinder = np.array([[[0, 0, 3, 0.5, 0.25]]], np.float32)
    box = np.array([[[0, 0, 0.5, 1, 1, 0.2]]], np.float32)
    caster = RayCaster(rays, 1, ARENA, REACH)
    assert caster.nearest(alone([0, 0, 1]), Solids.of(1))[0, 0] == pytest.approx([3, 1], abs=1e-4)
    found = caster.nearest(alone([0.1, 0.1, 1]), Solids.of(1, None, box, cylinder))
    assert found[0, 0] == pytest.approx([1.75, 0.3], abs=1e-4)
    beside = caster.nearest(alone([0.6, 0.6, 1]), Solids.of(1, None, None, cylinder))
    assert beside[0, 0] == pytest.approx([3, 1], abs=1e-4)


def test_rays_pass_over_what_is_lower() -> None:
    low = Solids.of(
        1,
        np.array([[[1, 0, 0, 0.5]]], np.float32),
        np.array([[[1, 0, 0, 0.5, 0.5, 0.5]]], np.float32),
        np.array([[[1, 0, 0, 0.5, 0.5]]], np.float32),
    )
    found = RayCaster(np.array([[1.0, 0, 0]]), 1, ARENA, REACH).nearest(alone([0, 0, 1]), low)
    assert found[0, 0, 0] == pytest.approx(3, abs=1e-4)


def test_who_stands_at_a_wall_looks_along_it_and_touches_it() -> None:
    rays = np.array([[1.0, 0, 0], [0, 1.0, 0], [-1, 0, 0], [0, -1, 0]])
    found = RayCaster(rays, 1, ARENA, REACH).nearest(alone([0, 2, 1]), Solids.of(1))[0, 0]
    assert found == pytest.approx([3, 0, 3, 4], abs=1e-4)


def test_the_heading_turns_the_rays() -> None:
    rays = np.array([[1.0, 0, 0]])
    caster = RayCaster(rays, 1, ARENA, REACH)
    for heading, expected in ((0, 3), (math.pi / 2, 2), (math.pi, 3), (-math.pi / 2, 2)):
        found = caster.nearest(alone([0, 0, 1], heading), Solids.of(1))
        assert found[0, 0, 0] == pytest.approx(expected, abs=1e-4)


def test_beyond_their_reach_rays_meet_nothing() -> None:
    found = RayCaster(np.array([[1.0, 0, 0]]), 1, ARENA, 2.0).cast(alone([0, 0, 1]), Solids.of(1))
    assert [float(kind[0, 0, 0]) for kind in found] == [2.0, 2.0, 2.0]


def test_an_open_world_has_no_border() -> None:
    found = RayCaster(np.array([[1.0, 0, 0]]), 1, None, REACH).nearest(
        alone([0, 0, 1]), Solids.of(1)
    )
    assert (found == REACH).all()


def test_what_has_no_size_is_not_there() -> None:
    nothing = Solids.of(
        1,
        np.array([[[1, 0, 1, 0]]], np.float32),
        np.array([[[1, 0, 1, 0, 0, 0]]], np.float32),
        np.array([[[1, 0, 1, 0, 0]]], np.float32),
        np.zeros((1, 2), np.float32),
    )
    position = np.array([[[0, 0, 1], [0.5, 0, 1]]], np.float32)
    pair = Bodies(position, position, np.zeros((1, 2), np.float32))
    found = RayCaster(np.array([[1.0, 0, 0]]), 2, ARENA, REACH).cast(pair, nothing)
    assert (found.solid == REACH).all()
    assert (found.mate == REACH).all()
    there = surfaces(position, nothing)
    assert (there.gap == ABSENT).all()
    assert (there.toward == 0).all()


def test_mates_are_met_and_never_oneself() -> None:
    position = np.array([[[0, 0, 1], [1, 0, 1], [2, 0, 1]]], np.float32)
    team = Bodies(position, position, np.zeros((1, 3), np.float32))
    standing = Solids.of(1, radii=np.array([[0.1, 0.2, 0.3]], np.float32))
    found = RayCaster(np.array([[1.0, 0, 0], [-1.0, 0, 0]]), 3, ARENA, REACH).cast(team, standing)
    assert found.mate[0, :, 0] == pytest.approx([0.8, 0.7, REACH], abs=1e-4)
    assert found.mate[0, :, 1] == pytest.approx([REACH, 0.9, 0.8], abs=1e-4)


@pytest.mark.parametrize("level", [True, False])
def test_a_world_is_cast_the_same_bits_whatever_the_batch(level: bool) -> None:
    rng = np.random.default_rng(0)
    rays = ways(rng, 9, level)
    rays = np.concatenate([rays, -rays])
    # So many that they are cast in several goes; in some worlds nobody is turned.
    worlds = 2500
    solids, bodies = solids_of(rng, worlds, 2), bodies_of(rng, worlds, 3, True)
    bodies.heading[::2] = 0
    radii = np.full((worlds, 3), 0.2, np.float32)
    standing = Solids(solids.spheres, solids.boxes, solids.cylinders, radii)
    caster = RayCaster(rays, 3, ARENA, REACH)
    whole, kinds = caster.nearest(bodies, standing), caster.cast(bodies, standing)
    assert (kinds.nearest == whole).all()
    assert np.isfinite(whole).all()
    assert (whole >= 0).all()
    for world in (0, 1, 1022, worlds - 1):
        row = slice(world, world + 1)
        one = Bodies(bodies.position[row], bodies.velocity[row], bodies.heading[row])
        assert (caster.nearest(one, standing.take(row)) == whole[row]).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_gaps_are_distances_and_toward_is_where_they_shrink(seed: int) -> None:
    rng = np.random.default_rng(seed)
    solids = solids_of(rng, 1, 2)
    points = rng.uniform(-3, 3, (1, 4, 3)).astype(np.float32)
    found = surfaces(points, solids)
    assert found.gap.shape == (1, 4, 6)
    step = np.float32(1e-2)
    moved = points[:, :, None] + step * found.toward
    for solid in range(6):
        nearer = gaps(moved[:, :, solid], solids)[..., solid]
        away = np.abs(found.gap[..., solid]) > 0.05  # but for a ridge, where the way turns
        change = found.gap[..., solid] - nearer
        outside = found.gap[..., solid] > 0
        assert change[away & outside] == pytest.approx(step, abs=2e-4)
        assert (change[away] <= step + 1e-4).all()
    assert np.linalg.norm(found.toward, axis=-1) == pytest.approx(1, abs=1e-4)


def test_gaps_of_known_points() -> None:
    solids = Solids.of(
        1,
        np.array([[[0, 0, 0, 1]]], np.float32),
        np.array([[[0, 0, 0, 1, 2, 3]]], np.float32),
        np.array([[[0, 0, 0, 1, 2]]], np.float32),
    )
    points = np.array([[[3, 0, 0], [0, 0, 0.5], [4, 6, 3]]], np.float32)
    found = surfaces(points, solids)
    assert found.gap[0, 0] == pytest.approx([2, 2, 2])
    assert found.gap[0, 1] == pytest.approx([-0.5, -1, -1])
    assert found.gap[0, 2, 1] == pytest.approx(5)
    assert found.toward[0, 0] == pytest.approx(np.array([[-1, 0, 0]] * 3))
    assert found.toward[0, 2, 1] == pytest.approx([-0.6, -0.8, 0])
