"""Trained actors as RLlib's modules: the same outputs, and parameters that learn."""

import importlib.util

import numpy as np
import pytest

from qmarl.errors import ConfigurationError
from trainers.config import load_experiment

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="needs qmarl[rllib]"),
]

SMALL = """\
name: exported
rounds: 1
env: {id: drone_navigation, drones: 2, obstacles: 1, max_steps: 12, num_envs: 4}
actor: {kind: vqc, circuit: {qubits: 4, layers: 1, encoding: {rotations: xyz}}}
critic: {hidden: [8]}
evaluation: {every: 0, episodes: 4, final_episodes: 4}
logging: {tensorboard: false, checkpoint_every: 1}
"""


def trained(home, *overrides):
    from trainers import runs
    from trainers.progress import SilentProgress

    path = home / "small.yaml"
    path.write_text(SMALL)
    config = load_experiment(path, [f"logging.directory={home / 'runs'}", *overrides])
    return runs.train(config, source=SMALL, console=SilentProgress())


def outputs_of(run, view):
    """What the run's own acting half says."""
    from qmarl import checkpoint
    from trainers.build import build
    from trainers.config import ExperimentConfig
    from trainers.rollout import Team
    from trainers.rundir import RunDirectory
    from trainers.state import TrainingState

    directory = RunDirectory.open(run)
    parts = build(directory.config(ExperimentConfig))
    state = TrainingState.from_checkpoint(checkpoint.load(directory.checkpoints, "best"))
    return Team(parts.seats, parts.sites(state.params)[0]).outputs(view)


def first_view(run):
    from envs.registry import make
    from trainers.config import ExperimentConfig
    from trainers.rundir import RunDirectory

    world = make(RunDirectory.open(run).config(ExperimentConfig).env, 5)
    return world.reset(7)


@pytest.mark.parametrize("kind", ["vqc", "mlp"])
def test_a_module_says_what_the_actor_says(tmp_path, kind):
    import torch
    from ray.rllib.core.columns import Columns

    from trainers.integrations.rllib import export

    run = trained(tmp_path, f"actor.kind={kind}")
    modules, view = export(run), first_view(run)
    expected = outputs_of(run, view)
    assert list(modules) == ["drone_0", "drone_1"]
    for place, module in enumerate(modules.values()):
        seen = torch.as_tensor(view.observations[:, place].astype(np.float32))
        logits = module.forward_inference({Columns.OBS: seen})[Columns.ACTION_DIST_INPUTS]
        allowed = view.action_mask[:, place]
        found, own = logits.detach().numpy(), expected[:, place, : logits.shape[-1]]
        np.testing.assert_allclose(found[allowed], own[allowed], atol=1e-5)
        drawn = module.get_inference_action_dist_cls().from_logits(logits).sample()
        assert all(module.action_space.contains(int(one)) for one in drawn)


def test_a_module_learns_and_survives_being_saved(tmp_path):
    import torch
    from ray.rllib.core.columns import Columns

    from trainers.integrations.rllib import export

    run = trained(tmp_path)
    module = export(run)["drone_0"]
    seen = torch.as_tensor(first_view(run).observations[:, 0].astype(np.float32))
    before = module.forward_train({Columns.OBS: seen})[Columns.ACTION_DIST_INPUTS]
    before.square().sum().backward()
    grads = {name: weight.grad for name, weight in module.named_parameters()}
    assert all(grad is not None for grad in grads.values())
    assert any(grad.abs().max() > 0 for grad in grads.values())
    other = export(run)["drone_1"]
    other.set_state(module.get_state())
    after = other.forward_inference({Columns.OBS: seen})[Columns.ACTION_DIST_INPUTS]
    torch.testing.assert_close(after, before)
    module.save_to_path(str(tmp_path / "module"))
    again = type(module).from_checkpoint(str(tmp_path / "module"))
    restored = again.forward_inference({Columns.OBS: seen})[Columns.ACTION_DIST_INPUTS]
    torch.testing.assert_close(restored, before)


def test_numbers_come_with_their_deviations(tmp_path):
    import torch
    from ray.rllib.core.columns import Columns

    from trainers.integrations.rllib import export

    run = trained(tmp_path, "actor.kind=mlp", "actor.hidden=[4]", "env.actions=continuous")
    module, view = export(run)["drone_1"], first_view(run)
    seen = torch.as_tensor(view.observations[:, 1].astype(np.float32))
    inputs = module.forward_inference({Columns.OBS: seen})[Columns.ACTION_DIST_INPUTS]
    size = module.action_space.shape[0]
    assert inputs.shape == (5, 2 * size)
    np.testing.assert_allclose(
        inputs[:, :size].detach().numpy(), outputs_of(run, view)[:, 1], atol=1e-5
    )


def test_a_fleet_that_is_not_there_is_refused(tmp_path):
    from trainers.integrations.rllib import export

    run = trained(tmp_path, "actor.kind=mlp", "actor.hidden=[4]")
    with pytest.raises(ConfigurationError, match="not 3"):
        export(run, fleet=3)
