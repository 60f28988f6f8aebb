"""Small experiments for the tests of whole runs."""

from pathlib import Path

import pytest

from qmarl.config import load
from trainers.config import PRESETS, ExperimentConfig

SMALL = """\
name: small
rounds: 3
env: {id: drone_navigation, drones: 2, obstacles: 1, max_steps: 12, num_envs: 4, shards: 2}
actor: {kind: vqc, circuit: {qubits: 4, layers: 1, encoding: {rotations: xyz}}}
critic: {hidden: [8]}
algorithm: {epochs: 2, minibatches: 2}
evaluation: {every: 2, episodes: 4, final_episodes: 6}
logging: {tensorboard: false, checkpoint_every: 1}
"""


@pytest.fixture
def small(tmp_path):
    """Loads the small experiment with overrides; its runs land under the test's directory."""
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)

    def make(*overrides: str) -> ExperimentConfig:
        runs = f"logging.directory={tmp_path / 'runs'}"
        return load(path, [runs, *overrides], ExperimentConfig, PRESETS)[0]

    return make


@pytest.fixture
def train(tmp_path):
    """Trains an experiment quietly and returns its run directory."""
    from trainers.progress import SilentProgress
    from trainers.runs import train as start

    def run(config: ExperimentConfig) -> Path:
        return start(config, source="# a test\n", console=SilentProgress())

    return run


@pytest.fixture
def coverage(tmp_path):
    """Loads the covering drones with overrides; their runs land under the test's directory."""
    from covered_worlds import covered

    return lambda *overrides: covered(tmp_path, *overrides)


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    """What the covering drones learn over links that nothing protects."""
    from covered_worlds import covered, final

    from trainers.progress import SilentProgress
    from trainers.runs import train as start

    config = covered(tmp_path_factory.mktemp("plain"))
    return final(start(config, source="# a test\n", console=SilentProgress()))
