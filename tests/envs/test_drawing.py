from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from flights import flight

from envs.bodies import Solids
from envs.drawing.camera import Perspective, hidden
from envs.drawing.palette import INK, PANEL, colour, rgb
from envs.drawing.tally import standing, verdict
from envs.render import FlightArtist
from envs.world import ARRIVED, CRASHED

SOLIDS = {
    "spheres": np.array([[[0.0, 5, 5, 2]]]),
    "boxes": np.array([[[-5.0, 5, 3, 2, 1, 3]]]),
    "cylinders": np.array([[[5.0, 5, 3, 2, 3]]]),
}


def at(place: Sequence[float], moment: int = 0, **changes: Any) -> np.ndarray:
    """The colour at a place, seen from above."""
    artist = FlightArtist(flight(moment + 1, **changes))
    picture = artist.draw(moment)
    row, column = artist.pixels(np.array([[*place, 0.0]]))[0]
    colour_there: np.ndarray = picture[row, column] / 255
    return colour_there


def is_near(found: np.ndarray, word: str) -> bool:
    return bool(np.abs(found - rgb(word)).max() < 0.12)


@pytest.mark.parametrize("kind", list(SOLIDS))
def test_every_kind_of_solid_stands_where_it_is(kind: str) -> None:
    solids = Solids.of(1, **{kind: SOLIDS[kind]})
    x, y = SOLIDS[kind][0, 0, :2]
    there = at((x, y), solids=solids)
    assert there.max() - there.min() < 0.1  # grey
    assert there.max() < 0.85
    assert is_near(at((x, y - 3.5), solids=solids), PANEL)
    assert is_near(at((x, y)), PANEL) or kind == "cylinders"  # nothing without it but the grid
    gone = Solids.of(1, **{kind: np.where(np.arange(SOLIDS[kind].shape[-1]) < 3, SOLIDS[kind], 0)})
    empty = FlightArtist(flight()).draw(0)
    assert (FlightArtist(flight(solids=gone)).draw(0) == empty).all()
    assert (FlightArtist(flight(solids=solids)).draw(0) != empty).any()


def test_corners_of_a_box_belong_to_it_and_those_of_a_cylinder_do_not() -> None:
    square = Solids.of(1, boxes=np.array([[[0.0, 5, 3, 2, 2, 3]]]))
    round_one = Solids.of(1, cylinders=np.array([[[0.0, 5, 3, 2, 3]]]))
    assert not is_near(at((1.8, 6.8), solids=square), PANEL)
    assert is_near(at((1.8, 6.8), solids=round_one), PANEL)


@pytest.mark.parametrize("kind", list(SOLIDS))
def test_what_is_behind_a_solid_is_hidden(kind: str) -> None:
    solids = Solids.of(1, **{kind: SOLIDS[kind]})
    centre = SOLIDS[kind][0, 0, :3]
    eye = centre + np.array([3, -40, 20])
    way = (eye - centre) / np.linalg.norm(eye - centre)
    points = centre + np.array([-5, 5, 0.0])[:, None] * way
    aside = centre + np.array([5, 0, 0])
    assert hidden(np.array([*points, aside]), eye, solids).tolist() == [True, False, True, False]
    assert not hidden(points, eye, Solids.of(1)).any()


def test_the_whole_arena_is_in_front_of_the_eye() -> None:
    arena = np.array([[-100.0, -20, 0], [100, 20, 5]])
    camera = Perspective(arena)
    corners = np.array(np.meshgrid(*arena.T)).T.reshape(-1, 3)
    assert (camera.depth(corners) > 0).all()
    assert camera.depth(camera.eye) == pytest.approx(0, abs=1e-9)
    assert camera.stretch == 6  # 5 m by 6 is the first to pass 0.3 of sqrt(200 m * 40 m)
    assert Perspective(arena * [1, 1, 10]).stretch == 1


def test_links_are_drawn_where_they_are_given_and_fade_when_they_are_lost() -> None:
    links = np.zeros((12, 2, 2), bool)
    links[:3, 0, 1] = True  # heard in one direction is enough
    seen = [darkness(1.0, moment, links) for moment in (2, 4, 11)]
    assert seen[0] > seen[1] > seen[2]
    assert seen[0] > 0.3
    assert seen[2] == darkness(1.0, 0, None) == darkness(1.0, 0, links[5:6]) == 0
    assert darkness(7.0, 2, links) == 0  # beyond the second agent


def darkness(x: float, moment: int, links: np.ndarray | None) -> float:
    """How much darker it is at ``(x, 0)``, seen from above, than without links."""
    artists = [FlightArtist(flight(moment + 1, links=given)) for given in (links, None)]
    row, column = artists[0].pixels(np.array([[x, 0, 0]]))[0]
    with_links, without = (
        artist.draw(moment)[row - 2 : row + 3, column] / 255 for artist in artists
    )
    return float((without - with_links).mean(-1).sum())


def test_goals_are_stars_in_the_agents_colours_and_nan_is_none() -> None:
    goals = np.array([[[0.0, 5, 2], [np.nan] * 3]])
    assert is_near(at((0, 5), goals=goals), colour(0))
    both = FlightArtist(flight(goals=goals[:, ::-1], goal_radius=1.0))
    row, column = both.pixels(np.array([[0.0, 5, 0]]))[0]
    assert is_near(both.draw(0)[row, column] / 255, colour(1))
    none = FlightArtist(flight(goal_radius=1.0)).draw(0)
    assert (none == FlightArtist(flight()).draw(0)).all()


def test_marks_are_filled_where_they_move_and_hollow_where_they_stand() -> None:
    marks = np.array([[[0.0, 5, 0], [4.0, 5, 0], [np.nan] * 3]] * 2)
    marks[1, 0, 1] = 3
    assert is_near(at((0, 3), 1, marks=marks), INK)
    assert is_near(at((4, 5), 1, marks=marks), PANEL)
    hollow = FlightArtist(flight(2, marks=marks)).draw(1)
    assert (hollow != FlightArtist(flight(2, marks=marks[:, :1])).draw(1)).any()


def test_lanes_are_drawn() -> None:
    lane = np.array([[[-9.0, 5, 0], [9.0, 5, 0]]])
    assert not is_near(at((1.0, 5), lines=lane), PANEL)
    assert is_near(at((1.0, 7), lines=lane), PANEL)


def test_a_vehicle_points_where_it_heads() -> None:
    cars: dict[str, Any] = {"kinds": ("vehicle", "vehicle"), "radii": np.array([2.3, 2.3])}
    for turn, along, across in ((0.0, (-4.3, 0.5), (-6, 1.7)), (np.pi / 2, (-6.5, 1.7), (-4.3, 0))):
        headings = np.array([[turn, 0.0]])
        assert not is_near(at(along, headings=headings, **cars), PANEL)
        assert is_near(at(across, headings=headings, **cars), PANEL)
    east, west = (
        FlightArtist(flight(headings=np.array([[turn, 0]]), **cars)).draw(0) for turn in (0, np.pi)
    )
    assert (east != west).any()


def test_vehicles_alone_are_seen_from_above_alone_and_drones_twice() -> None:
    lane = np.array([[-10.0, -10, 0], [10, 10, 3]])
    pictures = [
        FlightArtist(flight(kinds=kinds, arena=lane)).draw(0)
        for kinds in (("vehicle",) * 2, ("drone", "vehicle"))
    ]
    for picture, views in zip(pictures, (1, 2), strict=True):
        blue = np.abs(picture / 255 - rgb(colour(0))).max(-1) < 0.12
        columns = np.flatnonzero(blue.any(0))
        assert (np.diff(columns) > 50).sum() + 1 == views


def test_a_view_of_a_long_road_moves_along() -> None:
    places = np.zeros((40, 2, 3))
    places[..., 0] = np.arange(40)[:, None] * 20 + [0, 30]
    road: dict[str, Any] = {
        "kinds": ("vehicle", "vehicle"),
        "arena": np.array([[-10.0, -5, 0], [900, 5, 3]]),
        "headings": np.zeros((40, 2)),
        "radii": np.array([2.2, 2.2]),
    }
    made = flight(40, positions=places, **road)
    artist = FlightArtist(made)
    for moment in (0, 39):
        picture = artist.draw(moment)
        row, column = artist.pixels(places[moment, :1] + np.array([2, 0.5, 0]))[0]
        assert is_near(picture[row, column] / 255, colour(0))
    assert (artist.draw(0) != picture).any()


def test_drones_are_drawn_where_they_are_and_wrecks_as_crosses() -> None:
    moved = np.array([[[-6.0, 0, 2], [6, 0, 2]], [[-6, 0, 2], [6, 4, 2]]])
    made = flight(2, positions=moved, status=np.array([[0, 0], [CRASHED, ARRIVED]], np.int8))
    artist = FlightArtist(made)
    start, end = artist.draw(0), artist.draw(1)
    for picture, places in ((start, moved[0]), (end, moved[1])):
        row, column = artist.pixels(places[1:] + np.array([0.35, 0.35, 0]))[0]
        assert is_near(picture[row, column] / 255, colour(1))
    row, column = artist.pixels(moved[0, :1])[0]
    red, green, blue = end[row, column]
    assert red > 150 > 100 > max(green, blue)


def test_a_longer_recording_may_follow() -> None:
    short, long = flight(1), flight(5)
    artist = FlightArtist(short)
    artist.draw(0)
    artist.follow(long)
    assert (artist.draw(4) == FlightArtist(long).draw(4)).all()


def test_the_line_above_tells_how_the_task_stands() -> None:
    goals = np.array([[[0.0, 0, 2], [np.nan] * 3]])
    made = flight(goals=goals, goal_radius=1.0, status=np.array([[ARRIVED, CRASHED]], np.int8))
    assert standing(made, 0) == ["1 of 1 arrived", "1 crashed"]
    marks = np.zeros((2, 3, 3))
    marks[1, 2] = np.nan
    assert standing(flight(2, marks=marks, outcome_names=("caught",)), 1)[0] == "1 of 3 caught"
    slots: dict[str, Any] = {
        "goals": np.array([[[-6.0, 1, 2], [6, 0, 2]]]),
        "outcome_names": ("formation_error",),
    }
    assert standing(flight(**slots), 0)[0] == "0.50 m off their places"
    assert standing(flight(), 0) == ["", ""]


def test_the_end_is_told_in_the_words_of_the_outcomes() -> None:
    names = ("success", "collision", "served", "time_to_goal")
    ended = flight(
        3, outcome_names=names, outcomes={"success": 1.0, "collision": 0.0, "served": 0.9}
    )
    assert verdict(ended) == standing(ended, 2) == ["success", "served 0.9"]
    assert standing(ended, 1) != verdict(ended)
    shown = FlightArtist(ended)
    assert (shown.draw(2) != shown.draw(1)).any()


def test_words_never_run_into_each_other() -> None:
    names = tuple(f"a_rather_long_outcome_{at}" for at in range(6))
    ended = flight(outcome_names=names, outcomes=dict.fromkeys(names, 1.0))
    title = "a title"
    few = FlightArtist(ended, title).draw(0)[:30]
    alone = FlightArtist(flight(), title).draw(0)[:30]
    wide = int(np.flatnonzero((alone != alone[0, 0]).any((0, 2))).max())
    assert (few[:, : wide + 10] == alone[:, : wide + 10]).all()
    assert (few != alone).any()
