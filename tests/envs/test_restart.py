"""Some copies begin their next episode while the others go on."""

import numpy as np
import pytest

from envs import make
from envs.check import random_actions
from envs.registry import ENVS
from envs.world import World
from qmarl.errors import RunError

FOREIGN = {"id": "mpe2.simple_spread_v3:parallel_env", "max_steps": 25}
WORLDS = [*({"id": name} for name in ENVS), FOREIGN, {**FOREIGN, "workers": 2}]


def played(world: World, steps: int) -> np.ndarray:
    view = world.reset(3)
    for step in range(steps):
        view = world.step(random_actions(world.spec, view, 5, step)).view
    return view.observations


@pytest.mark.parametrize("settings", WORLDS, ids=lambda s: f"{s['id']}{s.get('workers', '')}")
def test_restarted_copies_begin_and_the_others_do_not_notice(settings: dict[str, object]) -> None:
    world, other = make(settings, 4), make(settings, 4)
    length = min(world.spec.max_steps - 1, 3)
    before = played(world, length)
    mask = np.array([False, True, False, True])
    view = world.restart(mask)
    np.testing.assert_array_equal(view.observations[~mask], before[~mask])
    # The next episode is the one that would have followed the first in any case.
    following = other.reset(3)
    following = other.restart(np.ones(4, bool))
    np.testing.assert_array_equal(view.observations[mask], following.observations[mask])
    assert view.alive[mask].any(1).all()
    step = world.step(random_actions(world.spec, view, 5, 99))
    assert np.isfinite(step.view.observations).all()
    for each in (world, other):
        each.close()


@pytest.mark.parametrize("settings", [{"id": "drone_navigation"}, {"id": "chsh"}, FOREIGN])
def test_restarting_needs_a_beginning_and_a_mask(settings: dict[str, object]) -> None:
    world = make(settings, 2)
    with pytest.raises(RunError, match="reset"):
        world.restart(np.ones(2, bool))
    world.reset(0)
    for wrong in (np.ones(3, bool), np.array([0, 1])):
        with pytest.raises(RunError, match="truth values of shape"):
            world.restart(wrong)
    world.close()
