from __future__ import annotations

import numpy as np
import pytest

from envs.front import make
from envs.scripted import at_random
from qmarl.secure.links_config import LinkSection
from qmarl.secure.network import station_rates, team_rates

STATION = LinkSection.model_validate({"link": "ground_drone", "sender": [0.0, 0.0, 2.0]})


def test_drones_of_a_world_have_rates_that_change_as_they_fly() -> None:
    world = make("drone_coverage", num_envs=2)
    view, policy = world.reset(seed=3), at_random(3, world.spec)
    rates, flown = [], []
    for _ in range(12):
        flown.append(world.positions())
        rates.append(team_rates(STATION, world.positions(), view.alive))
        view = world.step(policy(view)).view
    world.close()
    direct = np.array([each.direct for each in rates])
    assert direct.shape == (12, 2, 3)
    assert (direct > 0).all()
    assert (np.ptp(direct, axis=0) > 0).all()
    far = np.linalg.norm(np.array(flown) - [0, 0, 2], axis=-1)
    assert np.corrcoef(far.ravel(), direct.ravel())[0, 1] < -0.5
    again = station_rates(STATION, np.array(flown))  # the same positions, all steps at once
    np.testing.assert_allclose(again, direct, rtol=1e-9)


def test_a_teammate_relays_where_that_is_better() -> None:
    fog = LinkSection.model_validate({"link": {"kind": "ground_drone", "weather": "fog"}})
    # The second stands between the station and the third, the first stands alone.
    positions = np.array([[-600.0, 0, 60], [350, 0, 60], [700, 0, 60]])
    clear = team_rates(STATION, positions)
    np.testing.assert_array_equal(clear.best >= clear.direct, True)
    found = team_rates(fog, positions)
    assert found.relay.tolist() == [-1, -1, 1]
    assert found.best[2] > 2 * found.direct[2]
    assert found.best[2] <= found.direct[1]
    lost = team_rates(fog, positions, np.array([True, False, True]))
    assert lost.relay.tolist() == [-1, -1, -1]
    assert lost.best[1] == 0
    assert lost.best[2] == lost.direct[2]


def test_a_satellite_serves_the_team_while_it_passes() -> None:
    space = LinkSection.model_validate({"link": "satellite_drone", "satellite": {"step": 50.0}})
    positions = np.random.default_rng(0).uniform(-500, 500, (4, 3, 3)) * [1, 1, 0] + [0, 0, 80]
    over = [station_rates(space, positions, r) for r in (2, 10, 20)]
    assert over[0].shape == (4, 3)
    assert over[0].min() > 1e3
    assert over[0] == pytest.approx(over[0][0, 0], rel=0.05)  # far away, all are alike
    assert over[0].min() > over[1].max() >= 0
    assert over[2].max() == 0
