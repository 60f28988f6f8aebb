from __future__ import annotations

import math

import numpy as np
import pytest

from qmarl.errors import ConfigurationError
from qmarl.federated.config import FederationConfig
from qmarl.federated.schedule import ShareRule, ShareSchedule
from qmarl.types import ParameterSpec, Params

LAYOUT = {
    "actor.angles": ParameterSpec((3, 2, 2), 2 * math.pi, "angles"),
    "actor.scales": ParameterSpec((1, 4), None, "scales"),
    "actor.readout.bias": ParameterSpec((5,), None, "readout"),
}
DEEP = ShareRule(names=("actor.angles.layer_[12]",), first=2, every=3)


def params(stack: tuple[int, ...] = ()) -> Params:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(*stack, *spec.shape)) for name, spec in LAYOUT.items()}


@pytest.mark.parametrize(("stack", "axis"), [((), 0), ((4,), 1)])
def test_pieces_are_cut_and_joined_without_loss(stack: tuple[int, ...], axis: int) -> None:
    schedule = ShareSchedule((DEEP,), LAYOUT)
    whole = params(stack) | {"critic.w0": np.zeros((7, 2))}
    pieces = schedule.cut(whole, axis)
    assert set(pieces) == {*schedule.layout, "critic.w0"}
    for name, spec in schedule.layout.items():
        assert pieces[name].shape == (*stack, *spec.shape)
    assert schedule.layout["actor.angles.layer_2"] == ParameterSpec((2, 2), 2 * math.pi, "angles")
    again = schedule.joined(pieces, axis)
    assert set(again) == set(whole)
    assert all((again[name] == array).all() for name, array in whole.items())


def test_without_rules_nothing_is_in_pieces() -> None:
    schedule = ShareSchedule((), LAYOUT)
    assert schedule.layout == schedule.due(7) == schedule.changed(7) == LAYOUT
    whole = params()
    assert schedule.cut(whole)["actor.angles"] is whole["actor.angles"]


def test_deep_layers_travel_later_and_less_often() -> None:
    schedule = ShareSchedule((DEEP,), LAYOUT)
    with_deep = [number for number in range(9) if "actor.angles.layer_1" in schedule.due(number)]
    assert with_deep == [2, 5, 8]
    assert all("actor.angles.layer_0" in schedule.due(number) for number in range(9))
    assert schedule.changed(0) == schedule.layout  # everybody begins alike
    assert schedule.changed(3) == schedule.due(2)


def test_the_last_rule_that_names_a_piece_decides() -> None:
    odd = ShareRule(names=("actor.*",), first=1, every=2)
    always = ShareRule(names=("actor.angles.layer_0",))
    schedule = ShareSchedule((odd, always), LAYOUT)
    assert set(schedule.due(0)) == {"actor.angles.layer_0"}
    assert set(schedule.due(1)) == set(schedule.layout)


def test_a_rule_for_nothing_is_refused_with_the_names_that_there_are() -> None:
    rule = ShareRule(names=("actor.angles",))
    with pytest.raises(ConfigurationError, match=r"share_schedule: 'actor\.angles' matches") as e:
        ShareSchedule((rule,), LAYOUT)
    assert "actor.angles.layer_0" in str(e.value)


@pytest.mark.parametrize(
    "other",
    [
        {"participation": "fraction"},
        {"delays": {"a": 1}},
        {"late": "discount"},
        {"buffer": 2},
        {"compression": "top_k"},
    ],
)
def test_what_does_not_go_with_a_schedule_is_refused(other: dict[str, object]) -> None:
    section = {"share_schedule": [{"names": ["*"], "every": 2}]}
    FederationConfig.model_validate(section)
    with pytest.raises(ValueError, match=f"leave out {next(iter(other))}"):
        FederationConfig.model_validate(section | other)


def test_what_is_personal_stays_although_it_is_shared_by_pattern() -> None:
    config = FederationConfig(personal=("actor.scales", "actor.readout.*"))
    assert list(config.shared(LAYOUT)) == ["actor.angles"]
    with pytest.raises(ConfigurationError, match=r"federation\.personal: 'actor\.scale' matches"):
        FederationConfig(personal=("actor.scale",)).shared(LAYOUT)
    with pytest.raises(ConfigurationError, match="sharing: none"):
        FederationConfig(personal=("*",)).shared(LAYOUT)
