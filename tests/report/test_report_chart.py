from __future__ import annotations

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainers.report_chart import (
    POINTS,
    Curve,
    Estimate,
    Frame,
    Point,
    draw,
    marks,
    smoothed,
    thinned,
)
from trainers.report_text import Score

finite = st.floats(-1e30, 1e30)


def test_a_frame_puts_zero_at_the_bottom() -> None:
    frame = Frame(0, 10, 0, 1)
    assert frame.place(0, 0) == (0, 1000)
    assert frame.place(10, 1) == (1000, 0)
    assert frame.place(5, 7) == (500, 0)  # outside is clipped


@given(finite, finite)
def test_marks_enclose_everything_that_they_are_given(low: float, high: float) -> None:
    low, high = min(low, high), max(low, high)
    found = marks(low, high, 4)
    assert 2 <= len(found) <= 12
    assert np.all(np.diff(found) > 0)
    if high - low > 1e-9 * max(abs(low), abs(high), 1e-100):
        slack = 1e-6 * (high - low)
        assert found[0] <= low + slack
        assert found[-1] >= high - slack


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30), st.sampled_from([1, 3, 5, 9]))
def test_smoothing_is_the_mean_of_neighbours(values: list[float], width: int) -> None:
    points = [Point(x, y) for x, y in enumerate(values)]
    half = width // 2
    for at, point in enumerate(smoothed(points, width)):
        near = values[max(at - half, 0) : at + half + 1]
        assert abs(point.y - np.mean(near)) < 1e-9


def test_long_curves_are_thinned_to_means() -> None:
    points = [Point(x, float(x % 2)) for x in range(10 * POINTS)]
    thin = thinned(points)
    assert len(thin) == POINTS
    assert {point.y for point in thin} == {0.5}
    assert thinned(points[:5]) == points[:5]


def test_a_chart_draws_the_numbers_that_it_is_given() -> None:
    points = [Point(0, 0.0), Point(50, 0.5), Point(100, 1.0)]
    estimates = [Estimate(50, Score(0.5, 0.25, 0.75))]
    chart = draw("Success", [Curve("a", 0, points, estimates, smooth=3)], "share", "env-steps")
    assert chart is not None
    trace = chart.traces[0]
    assert trace.thin == "M0 1000L500 500L1000 0"
    assert trace.thick == "M0 750L500 500L1000 250"
    assert trace.dots[0][:4] == (500, 500, 750, 250)
    assert trace.dots[0].title == "a, after 50 env-steps: 50.0\u202f% (25.0\u202f% to 75.0\u202f%)"
    assert [tick.label for tick in chart.y_ticks] == [
        f"{share}\u202f%" for share in (0, 25, 50, 75, 100)
    ]
    assert [(tick.at, tick.label) for tick in chart.x_ticks][-1] == (100.0, "100")
    assert "a: 50.0\u202f% at the end" in chart.description


def test_nothing_to_draw_is_no_chart() -> None:
    assert draw("Success", [Curve("a", 0, [])], "share", "rounds") is None


@given(st.lists(st.tuples(st.floats(0, 1e12), finite), min_size=1, max_size=8))
def test_whatever_is_drawn_stays_inside(pairs: list[tuple[float, float]]) -> None:
    points = [Point(x, y) for x, y in sorted(pairs)]
    chart = draw("Return", [Curve("a", 0, points)], "number", "env-steps")
    assert chart is not None
    places = [int(text) for text in re.findall(r"-?\d+", chart.traces[0].thick)]
    assert all(0 <= place <= 1000 for place in places)
