from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from envs.mobility import make_backend
from envs.registry import EnvConfig, make
from envs.sites import refuse_sites, site_config, site_configs
from envs.tasks.drone_layout import DroneNavigationConfig
from qmarl.errors import ConfigurationError


def config(*sites: dict[str, Any], **settings: Any) -> DroneNavigationConfig:
    return DroneNavigationConfig(sites=sites, **settings)


def test_without_sites_all_are_the_same() -> None:
    plain = DroneNavigationConfig()
    assert site_config(plain, 3) is plain
    assert site_configs(plain, 2) == [plain, plain]
    refuse_sites(plain)


def test_a_site_lies_over_what_is_written() -> None:
    wind = {"wind": {"speed": 0.5}}
    section = config({}, wind, speed=2.0, wind={"turbulence": 0.3}, point={"drag": 0.2})
    calm, windy, again = (site_config(section, site) for site in range(3))
    assert (calm.wind.speed, windy.wind.speed) == (0.0, 0.5)
    assert windy.wind.turbulence == 0.3
    assert calm.speed == windy.speed == 2.0
    assert again == calm
    assert windy.sites == ()


def test_a_rung_at_a_site_wins_over_the_file() -> None:
    section = config({"difficulty": "hard"}, {"difficulty": "easy", "obstacles": 2}, obstacles=1)
    hard, easy = site_config(section, 0), site_config(section, 1)
    assert (hard.obstacles, hard.goal_radius) == (5, 0.2)
    assert (easy.obstacles, easy.goal_radius) == (2, 0.4)


def test_a_section_outlives_being_written_and_read() -> None:
    section = config({"wind": {"speed": 0.5}}, point={"drag": 0.2})
    read: DroneNavigationConfig = TypeAdapter(EnvConfig).validate_json(section.model_dump_json())
    assert site_config(read, 0).wind.speed == 0.5
    read = TypeAdapter(EnvConfig).validate_json(site_config(section, 0).model_dump_json())
    assert read == site_config(section, 0)


@pytest.mark.parametrize(
    ("site", "word"),
    [
        ({"dorne": 1}, r"sites\.0: dorne"),
        ({"wind": {"sped": 1}}, r"sites\.0: wind\.sped"),
        ({"num_envs": 3}, "num_envs: must be the same"),
        ({"obstacle_spread": 1.9}, "obstacles reach"),
    ],
)
def test_what_does_not_fit_a_site_is_said_with_the_file(site: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        config(site)


def test_sites_must_be_of_one_size() -> None:
    with pytest.raises(ConfigurationError, match=r"sites\.1: state_size would be 45, and 39"):
        site_configs(config({}, {"obstacles": 4}), 2)
    with pytest.raises(ConfigurationError, match=r"sites\.0: observation_sizes"):
        site_configs(config({"sensors": {"lidar": {"beams": 4}}}), 2)
    with pytest.raises(ConfigurationError, match=r"sites\.0: agents"):
        site_configs(config({"drones": 2}), 1)
    found = site_configs(config({}, {"obstacles": 4}, obstacle_slots=4), 2)
    assert [section.obstacles for section in found] == [2, 4]


def test_there_are_no_more_sites_than_fleets() -> None:
    with pytest.raises(ConfigurationError, match="3 sites for 2 fleets"):
        site_configs(config({}, {}, {}), 2)
    with pytest.raises(ConfigurationError, match="federation"):
        refuse_sites(config({}))


@pytest.mark.parametrize(
    ("backend", "kinds", "made"),
    [
        ("point", ("drone", "drone"), "PointBackend"),
        ("quad6dof", ("drone", "drone"), "Quad6Dof"),
        ("bicycle", ("vehicle", "vehicle"), "Bicycle"),
        ("point", ("vehicle", "drone"), "MixedBackend"),
    ],
)
def test_a_backend_moves_the_bodies_that_there_are(
    backend: str, kinds: tuple[str, ...], made: str
) -> None:
    section = DroneNavigationConfig(backend=backend)
    found = make_backend(section, (3, 2), section.arena, kinds)
    assert type(found).__name__ == made
    assert found.position.shape == (3, 2, 3)
    assert found.dt == section.dt


@pytest.mark.parametrize(("backend", "kind"), [("bicycle", "drone"), ("quad6dof", "vehicle")])
def test_a_backend_that_cannot_move_them_is_refused(backend: str, kind: str) -> None:
    section = DroneNavigationConfig(backend=backend)
    with pytest.raises(ConfigurationError, match=f"'{backend}' moves"):
        make_backend(section, (3, 2), section.arena, (kind, kind))


def test_conditions_really_differ() -> None:
    section = config({}, {"wind": {"speed": 1.0}}, point={"drag": 0.5})
    places = []
    for site in range(2):
        world = make(site_config(section, site), 4)
        world.reset(0)
        for _ in range(20):
            world.step(np.full((4, 3), 6))
        places.append(world.positions())
    assert np.abs(places[0] - places[1]).max() > 0.1
