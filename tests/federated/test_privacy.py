from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError
from scipy import stats

from qmarl.errors import ConfigurationError, RunError
from qmarl.federated.accounting import Event
from qmarl.federated.privacy import (
    ClientPrivacy,
    Noise,
    ServerPrivacy,
    clipped,
    from_vector,
    poisson_sample,
    summed,
    to_vector,
)
from qmarl.federated.privacy_config import AdaptiveClipping, PrivacyConfig, outside
from qmarl.federated.privacy_noise import NoiseSource
from qmarl.types import Array, ParameterSpec

SOURCE = NoiseSource(7)
VECTORS = hnp.arrays(np.float64, st.integers(1, 20), elements=st.floats(-1e6, 1e6))
LIMIT = 1e-6  # of p-values: the streams are seeded, so a test passes always or never


def config_of(**settings: Any) -> PrivacyConfig:
    return PrivacyConfig.model_validate(settings)


def noise_of(expected: float = 10, parts: int = 1, **settings: Any) -> Noise:
    return Noise(config_of(**settings), expected, parts)


def test_the_sources_numbers_have_their_distributions() -> None:
    size = 100_000
    part = [SOURCE.laplace_part(size, 7, "p", place) for place in range(7)]
    for numbers, law in (
        (SOURCE.uniform(size, "u"), "uniform"),
        (SOURCE.gaussian(size, "g"), "norm"),
        (SOURCE.laplace(size, "l"), "laplace"),
        (np.sum(part, axis=0), "laplace"),
    ):
        assert np.isfinite(numbers).all()
        assert stats.kstest(numbers, law).pvalue > LIMIT
    assert (
        abs(np.corrcoef(SOURCE.gaussian(size, "g", 1), SOURCE.gaussian(size, "g", 2))[0, 1]) < 0.02
    )


def test_the_same_name_gives_the_same_noise_and_no_other_does() -> None:
    again = NoiseSource(7)
    names = [("noise", 3, "a"), ("noise", 3, "b"), ("noise", 4, "a"), ("noise", 3, "server")]
    drawn = {name: SOURCE.gaussian(5, *name).tobytes() for name in names}
    assert {name: again.gaussian(5, *name).tobytes() for name in names} == drawn
    assert len(set(drawn.values())) == 4
    assert NoiseSource(8).gaussian(5, *names[0]).tobytes() not in drawn.values()


def test_a_secret_source_is_one_for_a_run_and_never_comes_again() -> None:
    config = config_of(noise_seed="system")
    source, later = config.source(7), config.source(7)
    assert source.gaussian(5, "a").tobytes() == source.gaussian(5, "a").tobytes()
    assert source.gaussian(5, "a").tobytes() != later.gaussian(5, "a").tobytes()
    assert source.seed.bit_length() > 200
    assert str(source.seed) not in repr(source)
    assert config_of().source(7) == SOURCE


@given(VECTORS, st.floats(1e-3, 1e3), st.sampled_from(["gaussian", "laplace"]))
def test_clipping_is_to_the_norm_and_keeps_the_direction(
    vector: Array, limit: float, mechanism: Any
) -> None:
    order = {"gaussian": 2, "laplace": 1}[mechanism]
    inside, below = clipped(vector, limit, mechanism)
    norm = np.linalg.norm(vector, order)
    assert below is bool(norm <= limit)
    assert np.linalg.norm(inside, order) <= limit * (1 + 1e-12)
    np.testing.assert_allclose(inside * max(norm, limit), vector * limit, atol=1e-6)
    if below:
        np.testing.assert_array_equal(inside, vector)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_nothing_slips_through_the_clipping(bad: float) -> None:
    for mechanism in ("gaussian", "laplace"):
        inside, below = clipped(np.array([bad, bad]), 0.5, mechanism)  # type: ignore[arg-type]
        assert not below
        assert np.linalg.norm(inside) <= 0.5


def contributions(noise: Noise, vectors: dict[str, Array], round_number: int = 0) -> list[Array]:
    norm = noise.config.clipping_norm
    return [
        ClientPrivacy(noise, SOURCE, name).protect(vector, norm, round_number)
        for name, vector in sorted(vectors.items())
    ]


def released(noise: Noise, vectors: dict[str, Array], size: int, round_number: int = 0) -> Array:
    total = summed(contributions(noise, vectors, round_number), size)
    return ServerPrivacy(noise, SOURCE).release(total, round_number)


@pytest.mark.parametrize("mechanism", ["gaussian", "laplace"])
@pytest.mark.parametrize(
    ("where", "parts", "present", "factor"),
    [
        ("server", 1, 10, 1.0),
        ("server", 1, 3, 1.0),
        ("client", 1, 10, 10.0),
        ("distributed", 7, 7, 1.0),
        ("distributed", 7, 10, 10 / 7),
    ],
)
def test_the_noise_on_the_sum(
    mechanism: str, where: str, parts: int, present: int, factor: float
) -> None:
    size = 50_000
    noise = noise_of(10, parts, mechanism=mechanism, noise=where, noise_multiplier=2.0)
    vectors = {f"c{place}": np.zeros(size) for place in range(present)}
    got = released(noise, vectors, size) * 10
    law = 1.0 if mechanism == "gaussian" else 2.0
    assert got.var() == pytest.approx(factor * law * (2.0 * 0.5) ** 2, rel=0.04)
    if factor == 1:
        name = "norm" if mechanism == "gaussian" else "laplace"
        assert stats.kstest(got, name).pvalue > LIMIT


def test_the_sum_is_divided_by_the_expected_number_whoever_came() -> None:
    noise = noise_of(10, noise_multiplier=0.0, clipping_norm=100.0)
    ones = {f"c{place}": np.ones(3) for place in range(4)}
    np.testing.assert_allclose(released(noise, ones, 3), 4 / 10)
    np.testing.assert_allclose(released(noise, {}, 3), 0)
    loud = noise_of(10)
    assert np.abs(released(loud, {}, 3)).min() > 0  # a round without clients still has noise


def test_one_client_moves_the_sum_by_the_norm_at_most() -> None:
    noise = noise_of(3, noise_multiplier=0.0)
    rest = {"a": np.array([0.3, 0.1]), "b": np.array([-9.0, 2.0])}
    for third in (np.full(2, 1e9), np.array([0.0, -1.0]), np.full(2, np.nan)):
        moved = 3 * (released(noise, rest | {"c": third}, 2) - released(noise, rest, 2))
        assert np.linalg.norm(moved) <= 0.5 + 1e-12


def test_a_round_is_repeatable_and_each_has_its_own_noise() -> None:
    noise = noise_of(3, noise="client")
    vectors = {name: np.zeros(4) for name in "abc"}
    first, again, later = (contributions(noise, vectors, number) for number in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.isclose(first, later).any()
    assert not np.isclose(first[0], first[1]).any()


@pytest.mark.parametrize(
    ("quantile", "mechanism"), [(0.5, "gaussian"), (0.8, "gaussian"), (0.5, "laplace")]
)
def test_the_clipping_norm_finds_the_quantile(quantile: float, mechanism: str) -> None:
    clients = 200
    noise = noise_of(
        clients,
        mechanism=mechanism,
        clipping_norm=0.01,
        noise_multiplier=0.5,
        adaptive={"target_clipped_quantile": quantile},
    )
    server = ServerPrivacy(noise, SOURCE)
    norms = np.linspace(1, 3, clients)
    reached = []
    for number in range(80):
        vectors = [
            ClientPrivacy(noise, SOURCE, f"c{place}").protect(
                np.array([0.0, norm]), server.clipping_norm, number
            )
            for place, norm in enumerate(norms)
        ]
        step = server.release(summed(vectors, 3), number)
        assert step.shape == (2,)
        reached.append(server.clipping_norm)
    assert np.mean(reached[50:]) == pytest.approx(1 + 2 * quantile, rel=0.1)


def test_the_clipping_norm_survives_a_checkpoint() -> None:
    noise = noise_of(4, adaptive={})
    server, again = ServerPrivacy(noise, SOURCE), ServerPrivacy(noise, SOURCE)
    server.release(np.zeros(3), 0)
    assert server.clipping_norm != again.clipping_norm
    again.load_state(server.state())
    assert again.clipping_norm == server.clipping_norm
    np.testing.assert_array_equal(server.release(np.ones(3), 1), again.release(np.ones(3), 1))
    for bad in ({}, {"clipping_norm": np.array(-1.0)}, {"clipping_norm": np.ones(2)}):
        with pytest.raises(RunError, match="clipping norm does not fit"):
            again.load_state(bad)


def test_the_count_is_paid_for_by_the_updates_noise() -> None:
    gauss = noise_of(100, noise_multiplier=1.0, adaptive={"clipped_count_stddev": 5.0})
    assert gauss.update_noise**-2 + (2 * 5.0) ** -2 == pytest.approx(1.0)
    laplace = noise_of(
        100, mechanism="laplace", noise_multiplier=1.0, adaptive={"clipped_count_stddev": 5.0}
    )
    assert 1 / laplace.update_noise + 1 / 10 == pytest.approx(1.0)
    assert noise_of(400, adaptive={}).count_noise == 20.0
    assert noise_of(10, adaptive={}).count_noise == 1.0
    assert noise_of(10).update_noise == 1.0
    with pytest.raises(ConfigurationError, match=r"more than half of noise_multiplier 4, got 2"):
        noise_of(100, noise_multiplier=4.0, adaptive={"clipped_count_stddev": 2.0})


def test_the_bits_noise_is_on_the_count() -> None:
    noise = noise_of(10, adaptive={"clipped_count_stddev": 3.0}, clipping_norm=0.2)
    drawn = np.array([noise.drawn(2, 0.2, SOURCE, number, "server") for number in range(4000)])
    np.testing.assert_allclose(drawn.std(0), [noise.update_noise * 0.2, 3.0], rtol=0.05)
    own = noise.contribution(np.array([0.1]), 0.2)
    np.testing.assert_array_equal(own, [0.1, 0.5])
    np.testing.assert_allclose(noise.contribution(np.array([0.4]), 0.2), [0.2, -0.5])


def test_poisson_samples_are_independent_and_named() -> None:
    clients = [f"c{place}" for place in range(60)]
    draws = np.array(
        [
            [name in drawn for name in clients]
            for drawn in (poisson_sample(clients, 0.3, SOURCE, number) for number in range(1500))
        ],
        float,
    )
    counts = draws.sum(1)
    assert counts.mean() == pytest.approx(60 * 0.3, rel=0.02)
    assert counts.var() == pytest.approx(60 * 0.3 * 0.7, rel=0.12)  # a fixed number has none
    assert np.abs(draws.mean(0) - 0.3).max() < 0.06
    apart = np.corrcoef(draws.T)[np.triu_indices(60, 1)]
    assert np.abs(apart).max() < 0.13


def test_a_sample_depends_on_seed_round_and_name_alone() -> None:
    drawn = poisson_sample("abcdefgh", 0.5, SOURCE, 0)
    assert drawn == poisson_sample("hgfedcba", 0.5, NoiseSource(7), 0)
    assert poisson_sample("abcd", 0.5, SOURCE, 0) == tuple(n for n in drawn if n in "abcd")
    assert len({poisson_sample("abcdefgh", 0.5, SOURCE, number) for number in range(20)}) > 10
    assert poisson_sample("abc", 1.0, SOURCE, 0) == ("a", "b", "c")


def test_vectors_and_arrays() -> None:
    layout = {
        "b": ParameterSpec((2, 2), None, "weights"),
        "a": ParameterSpec((), None, "weights"),
        "c": ParameterSpec((0,), None, "weights"),
    }
    arrays = {"a": np.array(9), "b": np.arange(4).reshape(2, 2), "c": np.zeros(0), "d": np.ones(3)}
    vector = to_vector(arrays, layout)
    np.testing.assert_array_equal(vector, [0, 1, 2, 3, 9])
    back = from_vector(vector, layout)
    assert list(back) == ["b", "a", "c"]
    for name, array in back.items():
        np.testing.assert_array_equal(array, arrays[name])
        assert array.dtype == np.float64
    with pytest.raises(ValueError, match="is no 5 parameters"):
        from_vector(np.zeros(6), layout)


@pytest.mark.parametrize(
    ("settings", "rate", "event"),
    [
        ({}, 1.0, Event("gaussian", 1.0)),
        ({}, 0.1, Event("gaussian", 1.0, "poisson", 0.1)),
        ({"mechanism": "laplace"}, 0.1, Event("laplace", 1.0, "poisson", 0.1)),
        # Who sees the messages also sees who takes part: nothing is amplified against it.
        ({"noise": "client"}, 0.1, Event("gaussian", 1.0)),
        ({"noise": "distributed"}, 0.1, Event("gaussian", 1.0)),
    ],
)
def test_what_a_round_counts_as(settings: dict[str, Any], rate: float, event: Event) -> None:
    config = config_of(**settings)
    assert config.event(rate) == event
    assert config.ledger().adjacency == "add_remove"


def test_a_client_with_models_of_several_groups_moves_all_of_them() -> None:
    assert config_of().event(1.0, groups=4) == Event("gaussian", 0.5)
    assert config_of(mechanism="laplace").event(0.1, 4) == Event("laplace", 0.25, "poisson", 0.1)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"clipping_norm": 0.0}, "greater than 0"),
        ({"delta": 1.0}, "less than 1"),
        ({"epsilon": 0.0}, "greater than 0"),
        ({"noise_multiplier": -1.0}, "greater than or equal to 0"),
        ({"adaptive": {"target_clipped_quantile": 1.0}}, "less than 1"),
        ({"noise_seed": "dice"}, "'run' or 'system'"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        config_of(**settings)


def test_what_is_outside_the_guarantee_is_said() -> None:
    told = " ".join(outside(config_of()))
    for part in ("Metrics", "how many took part", "share their worlds", "seed", "it is trusted"):
        assert part in told
    secret = " ".join(outside(config_of(noise_seed="system", noise="distributed")))
    assert "seed" not in secret
    assert "it is trusted" not in secret
    assert "leave out their part" in secret
    assert config_of().ledger().outside == outside(config_of())


@pytest.mark.parametrize("mechanism", ["gaussian", "laplace"])
@pytest.mark.parametrize("adaptive", [None, {}])
def test_no_number_leaves_its_span(mechanism: str, adaptive: dict[str, Any] | None) -> None:
    noise = noise_of(mechanism=mechanism, adaptive=adaptive, noise="client", noise_multiplier=3.0)
    own = ClientPrivacy(noise, SOURCE, "a").protect(np.ones(50_000), 0.2, 0)
    largest = np.abs(own / noise.units(50_000, 0.2)).max()
    assert noise.span / 64 < largest < noise.span
    quiet = noise_of(mechanism=mechanism, adaptive=adaptive)
    own = ClientPrivacy(quiet, SOURCE, "a").protect(np.array([5.0, 0.0]), 0.2, 0)
    assert np.abs(own / quiet.units(2, 0.2)).max() <= quiet.span == 1.0


def test_adaptive_clipping_stands_by_its_defaults() -> None:
    assert config_of(adaptive={}).adaptive == AdaptiveClipping()
