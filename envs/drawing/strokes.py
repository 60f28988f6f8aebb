"""Lines of what moves: trails, links between agents, and threads down to the ground."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from envs.drawing.camera import opacity
from envs.drawing.meshes import circle
from envs.drawing.palette import INK, colour, rgb, rgba

if TYPE_CHECKING:
    from envs.drawing.camera import Camera
    from envs.flight import Flight
    from qmarl.types import Array

RECENT = 14
"""Moments of a trail that are drawn strongly."""

_LINGER, _MEMORY = 0.7, 8  # share of a link's strength that a moment without it leaves; moments


class Strokes(NamedTuple):
    """Lines on the page.

    Attributes:
        lines: Each ``(n, 2)``.
        colours: ``(L, 4)``.
        widths: ``(L,)`` points.
    """

    lines: list[Array]
    colours: Array
    widths: Array


def hues(count: int) -> Array:
    """Colours of the first agents, ``(count, 3)``."""
    return np.array([rgb(colour(index)) for index in range(count)]).reshape(count, 3)


def trails(flight: Flight, camera: Camera, moment: int) -> Strokes:
    """The whole ways of all agents, thinly."""
    path = camera.project(flight.positions[: moment + 1])
    count = path.shape[1]
    lines = [path[:, index] for index in range(count)]
    return Strokes(lines, rgba(hues(count), np.full(count, 0.32)), np.ones(count))


def tails(flight: Flight, camera: Camera, moment: int) -> Strokes:
    """The last part of all agents' ways and of those of the marks, fading towards the past."""
    parts = [(flight.positions, hues(len(flight.agents)))]
    if flight.marks is not None:
        parts.append((flight.marks, np.broadcast_to(rgb(INK), flight.marks.shape[1:])))
    first = max(0, moment + 1 - RECENT)
    found = [_tail(camera.project(path[first : moment + 1]), paint) for path, paint in parts]
    segments, colours, strength = (np.concatenate(same) for same in zip(*found, strict=True))
    return Strokes(list(segments), rgba(colours, 0.85 * strength), 0.8 + 2 * strength)


def _tail(path: Array, paint: Array) -> tuple[Array, Array, Array]:
    """Segments of ways ``(n, A, 2)`` of which something moved, their colours and strengths."""
    segments = np.stack([path[:-1], path[1:]], 2)
    age = RECENT - len(segments) + np.arange(len(segments))
    strength = np.broadcast_to(age[:, None] / RECENT, segments.shape[:2])
    colours = np.broadcast_to(paint, (*segments.shape[:2], 3))
    moved = (segments[:, :, 0] != segments[:, :, 1]).any(-1) & np.isfinite(segments).all((-2, -1))
    return segments[moved], colours[moved], strength[moved]


def links(flight: Flight, camera: Camera, moment: int) -> Strokes:
    """Lines between those who hear each other, in one direction or both; they fade when lost."""
    here, strength = flight.positions[moment], _strength(flight, moment)
    one, other = np.nonzero(np.triu(strength, 1) > 0.05)
    ends = camera.project(np.stack([here[one], here[other]], 1))
    paint = np.broadcast_to(rgb(INK), (len(one), 3))
    return Strokes(list(ends), rgba(paint, 0.45 * strength[one, other]), np.ones(len(one)))


def _strength(flight: Flight, moment: int) -> Array:
    """How strongly links ``(A, A)`` are drawn: 1 while they are there."""
    count = len(flight.agents)
    strength = np.zeros((count, count))
    if flight.links is not None:
        for heard in flight.links[max(0, moment - _MEMORY) : moment + 1]:
            strength = np.maximum(strength * _LINGER, heard | heard.T)
    return strength


def rings(flight: Flight, camera: Camera, moment: int) -> Strokes:
    """Around each goal, how near is near enough."""
    goals = flight.goals[moment]
    there = np.flatnonzero(np.isfinite(goals).all(-1) & (flight.goal_radius > 0))
    rim = circle()[np.arange(33) % 32] * flight.goal_radius
    lines = [camera.project(goals[index] + rim) for index in there]
    alpha = 0.8 * opacity(goals[there], camera, flight.solids)
    return Strokes(lines, rgba(hues(len(goals))[there], alpha), np.ones(len(there)))


def threads(flight: Flight, camera: Camera, moment: int) -> Strokes:
    """From goals, agents and marks that are in the air down to the floor."""
    paint = [hues(len(flight.agents))] * 2
    tops = [flight.goals[moment], flight.positions[moment]]
    if flight.marks is not None:
        tops.append(flight.marks[moment])
        paint.append(np.broadcast_to(rgb(INK), tops[-1].shape))
    high, colours = np.concatenate(tops), np.concatenate(paint)
    up = aloft(high, flight)
    ends = np.repeat(high[up][:, None], 2, 1)
    ends[:, 1, 2] = flight.arena[0, 2]
    alpha = 0.55 * opacity(ends[:, 1], camera, flight.solids)
    lines = list(camera.project(ends))
    return Strokes(lines, rgba(colours[up], alpha), np.full(len(lines), 0.8))


def aloft(points: Array, flight: Flight) -> Array:
    """Which points ``(n, 3)`` are off the floor, so that it needs to be shown where."""
    low, high = flight.arena[:, 2].astype(float)
    up: Array = np.nan_to_num(points[:, 2], nan=low) > low + 0.02 * (high - low)
    return up
