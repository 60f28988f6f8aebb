"""Checks of environments of a foreign shape, and the tests that their own packages bring."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.adapters import PettingZooWorld
from envs.pettingzoo_source import PettingZooConfig, environments, said
from envs.sources import source_of
from qmarl.errors import QmarlError, RunError

if TYPE_CHECKING:
    from envs.section import WorldSection
    from envs.world import World

Test = tuple[str, Callable[[], object]]


def world_of(env: Any, longest: int) -> World:
    """Returns one PettingZoo or Gymnasium environment as a world of one copy.

    Args:
        env: The environment.
        longest: Steps of an episode where it does not say.

    Raises:
        RunError: It breaks a rule that the world would not show.
        ConfigurationError: It is no such environment, or its spaces cannot be used.
    """
    name = type(getattr(env, "unwrapped", env)).__name__
    source = source_of(env, name)
    for agent in source.agents:
        for asked, what in (
            (source.observation_space, "observation_space"),
            (source.action_space, "action_space"),
        ):
            if asked(agent) is not asked(agent):
                raise RunError(f"{name}: {what} of {agent} is another object at every call")
    config = PettingZooConfig(id=name, max_steps=source.limit or longest)
    return PettingZooWorld(config, 1, source)


def package_tests(section: WorldSection, cycles: int = 100) -> tuple[list[str], list[str]]:
    """Runs what PettingZoo and Gymnasium test environments with.

    A built-in world is tested through its PettingZoo view, a foreign one as it is.

    Args:
        section: Which world.
        cycles: Steps of each test.

    Returns:
        The tests that passed, and what they warned of.

    Raises:
        RunError: A test failed.
    """
    with warnings.catch_warnings():  # these tests import PettingZoo's games as it deprecates
        warnings.simplefilter("ignore")
        import pettingzoo.test  # type: ignore[import-untyped]  # noqa: F401 - for its warnings
    if isinstance(section, PettingZooConfig):
        tests = _of_foreign(section, cycles)
    else:
        tests = _of_view(section, cycles)
    heard: set[str] = set()
    for name, test in tests:
        heard |= _heard(test, f"{section.id}: {name}")
    return [name for name, _ in tests], sorted(heard)


def _of_view(section: WorldSection, cycles: int) -> list[Test]:
    from pettingzoo.test import parallel_api_test, parallel_seed_test, state_test
    from pettingzoo.utils.conversions import parallel_to_aec  # type: ignore[import-untyped]

    from envs.parallel import parallel_env

    def view() -> Any:
        return parallel_env(section)

    return [
        ("parallel_api_test", lambda: parallel_api_test(view(), cycles)),
        ("parallel_seed_test", lambda: parallel_seed_test(view, cycles)),
        ("state_test", lambda: state_test(parallel_to_aec(view()), view())),
        ("its pictures", lambda: _draw(section)),
    ]


def _draw(section: WorldSection) -> None:
    from envs.parallel import parallel_env

    if "rgb_array" not in parallel_env(section).metadata["render_modes"]:
        return
    env = parallel_env(section, render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    env.close()
    if picture is None or picture.dtype != np.uint8 or picture.ndim != 3:
        raise RunError("render gave no picture (height, width, 3) of uint8")


def _of_foreign(config: PettingZooConfig, cycles: int) -> list[Test]:
    from gymnasium import Env
    from gymnasium.utils.env_checker import check_env
    from pettingzoo import AECEnv
    from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, seed_test

    make = environments(config)
    env = make()
    if isinstance(env, AECEnv):
        return [
            ("api_test", lambda: api_test(env, cycles)),
            ("seed_test", lambda: seed_test(make, cycles)),
        ]
    if isinstance(env, Env):
        return [("check_env", lambda: check_env(env.unwrapped, skip_render_check=True))]
    return [
        ("parallel_api_test", lambda: parallel_api_test(env, cycles)),
        ("parallel_seed_test", lambda: parallel_seed_test(make, cycles)),
    ]


def _heard(test: Callable[[], object], name: str) -> set[str]:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                test()
        except QmarlError:
            raise
        except Exception as error:
            raise RunError(f"{name} ended in {said(error)}") from error
    return {" ".join(str(warning.message).split()) for warning in heard}
