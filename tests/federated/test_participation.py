from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from qmarl.federated.participation import (
    Everyone,
    Fraction,
    Participation,
    ParticipationConfig,
    Poisson,
    Trace,
    lot,
)

NAMES = tuple(f"drone_{i}" for i in range(12))


def trace(**values: Any) -> Trace:
    return Trace.model_validate({"clients": {"drone_1": [[2, 4], [7, None]]}, **values})


@pytest.mark.parametrize("chosen", [Everyone(), Fraction(), Poisson(rate=0.3), trace()])
def test_who_takes_part_follows_from_seed_round_and_names_alone(chosen: Participation) -> None:
    for number in range(20):
        drawn = chosen.drawn(NAMES, number, 5)
        assert drawn == chosen.drawn(NAMES[::-1], number, 5)
        assert set(drawn) <= set(NAMES)
        assert list(drawn) == sorted(drawn)
        assert len(drawn) <= chosen.most(len(NAMES))


def test_other_seeds_and_rounds_draw_others() -> None:
    drawn = {Fraction().drawn(NAMES, number, seed) for number in range(8) for seed in range(8)}
    assert len(drawn) > 50
    assert len({lot(seed, 0, "a") for seed in range(100)}) == 100


@pytest.mark.parametrize(
    ("fraction", "count"), [(0.01, 1), (0.5, 6), (0.7, 8), (0.75, 9), (1.0, 12)]
)
def test_a_fraction_always_draws_as_many_and_everybody_as_often(
    fraction: float, count: int
) -> None:
    rounds = [Fraction(fraction_fit=fraction).drawn(NAMES, number, 3) for number in range(400)]
    assert {len(drawn) for drawn in rounds} == {count}
    assert all(len(set(drawn)) == len(drawn) for drawn in rounds)
    often = np.array([sum(name in drawn for drawn in rounds) for name in NAMES])
    share = count / 12
    assert (np.abs(often - 400 * share) <= 5 * np.sqrt(400 * share * (1 - share)) + 1e-9).all()


def test_poisson_sampling_is_independent_draws_of_each_client() -> None:
    rate, rounds = 0.2, 3000
    chosen = Poisson(rate=rate)
    there = np.array(
        [[name in chosen.drawn(NAMES, number, 1) for name in NAMES] for number in range(rounds)]
    )
    counts = there.sum(1)
    assert abs(there.mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / there.size)
    # The number of clients varies as the binomial law says, and rounds may be empty.
    assert counts.var() == pytest.approx(12 * rate * (1 - rate), rel=0.15)
    assert (counts == 0).mean() == pytest.approx((1 - rate) ** 12, abs=0.02)
    links = np.corrcoef(there.T)[~np.eye(12, dtype=bool)]
    assert np.abs(links).max() < 5 / np.sqrt(rounds)
    follow = np.corrcoef(there[:-1].ravel(), there[1:].ravel())[0, 1]
    assert abs(follow) < 5 / np.sqrt(rounds * 12)


def test_a_poisson_draw_does_not_depend_on_who_else_there_is() -> None:
    for number in range(50):
        few, many = (Poisson().drawn(names, number, 2) for names in (NAMES[:3], NAMES))
        assert few == tuple(name for name in many if name in NAMES[:3])


def test_a_trace_is_followed_by_the_letter() -> None:
    there = [number for number in range(12) if "drone_1" in trace().drawn(NAMES, number, 0)]
    assert there == [2, 3, 4, 7, 8, 9, 10, 11]
    assert all("drone_0" in trace().drawn(NAMES, number, 0) for number in range(12))
    assert [number for number in range(12) if trace().joins("drone_1", number)] == [2]
    assert not any(trace().joins("drone_0", number) for number in range(12))
    early = Trace(clients={"a": ((0, 3),)})
    assert not any(early.joins("a", number) for number in range(5))


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"kind": "fraction", "fraction_fit": 0}, "fraction_fit"),
        ({"kind": "fraction", "fraction_fit": 1.5}, "fraction_fit"),
        ({"kind": "poisson", "rate": 0}, "rate"),
        ({"kind": "trace"}, "clients"),
        ({"kind": "trace", "clients": {"a": [[3, 2]]}}, "one after the other"),
        ({"kind": "trace", "clients": {"a": [[-1, 2]]}}, "one after the other"),
        ({"kind": "trace", "clients": {"a": [[0, None], [4, 5]]}}, "one after the other"),
        ({"kind": "trace", "clients": {"a": [[0, 4], [4, 5]]}}, "one after the other"),
        ({"kind": "some"}, "some"),
    ],
)
def test_impossible_sections_are_refused(values: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError, match=where):
        TypeAdapter(ParticipationConfig).validate_python(values)


@pytest.mark.parametrize("chosen", [Everyone(), Fraction(), Poisson(), trace(late_join="average")])
def test_a_resolved_section_loads_again(chosen: Participation) -> None:
    section = TypeAdapter(ParticipationConfig)
    assert section.validate_json(section.dump_json(chosen)) == chosen
    assert section.validate_python(section.dump_python(chosen)) == chosen
