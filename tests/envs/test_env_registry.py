import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from envs.adapters import PettingZooWorld
from envs.batch import BatchWorld
from envs.pettingzoo_source import PettingZooConfig
from envs.registry import ENVS, EnvConfig, make, register_all
from envs.tasks.drone_layout import DroneNavigationConfig
from qmarl.config import Section, load
from qmarl.errors import ConfigurationError

SECTION: TypeAdapter[DroneNavigationConfig | PettingZooConfig] = TypeAdapter(EnvConfig)
SPREAD = "mpe2.simple_spread_v3:parallel_env"


class Job(Section):
    env: EnvConfig = DroneNavigationConfig()


def refused(tmp_path: Path, text: str, *overrides: str) -> str:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load(path, overrides, Job, tmp_path)
    return str(caught.value)


def test_the_id_chooses_the_section() -> None:
    assert SECTION.validate_python({}) == DroneNavigationConfig()
    assert isinstance(SECTION.validate_python({"id": SPREAD}), PettingZooConfig)
    assert isinstance(SECTION.validate_python({"id": "sisl/pursuit-v5"}), PettingZooConfig)


def test_a_word_is_enough_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("env: drone_navigation\n")
    job, _ = load(path, ["env.drones=4", "env.speed=2"], Job, tmp_path)
    assert isinstance(job.env, DroneNavigationConfig)
    assert (job.env.drones, job.env.speed) == (4, 2.0)
    path.write_text(f"env: {SPREAD}\n")
    job, _ = load(path, ["env.kwargs={N: 2}"], Job, tmp_path)
    assert job.env == PettingZooConfig(id=SPREAD, kwargs={"N": 2})


def test_an_unknown_world_names_the_nearest(tmp_path: Path) -> None:
    message = refused(tmp_path, "env:\n  id: drone_navigatoin\n  drones: 4\n")
    assert "job.yaml:2:" in message
    assert "drone_navigatoin" in message
    assert "nearest" in message
    assert "'drone_navigation'" in message
    assert "drones" not in message


def test_a_short_rollout_is_refused_where_it_stands(tmp_path: Path) -> None:
    message = refused(tmp_path, "env:\n  id: drone_navigation\n  rollout_steps: 64\n")
    assert "job.yaml:3:" in message
    assert "max_steps 100" in message


def test_overrides_are_named(tmp_path: Path) -> None:
    message = refused(tmp_path, "env: drone_navigation\n", "env.drones=70")
    assert "env.drones" in message
    assert "at most" in message


def test_make_builds_as_many_copies_as_asked() -> None:
    world = make(DroneNavigationConfig(num_envs=6, drones=2))
    assert isinstance(world, BatchWorld)
    assert world.num_envs == 6
    assert world.spec.agents == ("drone_0", "drone_1")
    assert make(DroneNavigationConfig(), 3).num_envs == 3
    assert isinstance(make(PettingZooConfig(id=SPREAD), 1), PettingZooWorld)


def test_short_rollouts_of_foreign_worlds_are_refused() -> None:
    with pytest.raises(ValidationError, match="max_steps 30"):
        PettingZooConfig(id=SPREAD, max_steps=30, rollout_steps=10)
    with pytest.raises(ConfigurationError, match="max_steps 25, got 10"):
        make(PettingZooConfig(id=SPREAD, rollout_steps=10), 1)


def test_pettingzoo_knows_our_worlds() -> None:
    import pettingzoo

    register_all()
    register_all()
    for name in ENVS:
        env = pettingzoo.make("parallel", f"qmarl/{name}_v0")
        assert set(env.reset(seed=0)[0]) == set(env.possible_agents)
    env = pettingzoo.make("parallel", "qmarl/drone_navigation_v0", settings={"drones": 2})
    assert len(env.reset(seed=0)[0]) == 2
    short = pettingzoo.make("parallel", "qmarl/coin_game_v0", max_cycles=3)
    short.reset(seed=0)
    for _ in range(3):
        assert short.agents
        short.step(dict.fromkeys(short.agents, 0))
    assert not short.agents


def test_our_world_through_pettingzoo_is_our_world() -> None:
    settings = {"drones": 2, "max_steps": 40}
    config = PettingZooConfig(
        id="qmarl/drone_navigation-v0",
        kwargs={"settings": settings},
        max_steps=40,
        outcomes=("success", "collision"),
    )
    world = make(config, 2)
    view = world.reset(0)
    assert view.state.shape == (2, 28)
    rewards = 0.0
    for _ in range(45):
        step = world.step((view.observations[..., 0] < 0).astype(int))
        rewards += float(step.rewards.sum())
        if step.ended.any():
            assert set(step.outcomes) == {"success", "collision"}
        view = step.view
    assert rewards != 0


def test_importing_the_registry_is_light() -> None:
    heavy = ["torch", "gymnasium", "pettingzoo", "matplotlib", "PIL", "ray", "pennylane"]
    code = f"import sys, envs.registry; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
