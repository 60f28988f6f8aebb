"""A small federation of drones that cover users, and what its runs leave to compare."""

from __future__ import annotations

import signal
from pathlib import Path

from qmarl.checkpoint import load as load_checkpoint
from qmarl.config import load
from trainers.config import PRESETS, ExperimentConfig
from trainers.interrupt import RunInterruptedError
from trainers.logger import read_lines
from trainers.progress import SilentProgress
from trainers.runs import resume
from trainers.runs import train as start

COVERAGE = """\
name: covered
rounds: 4
env: {id: drone_coverage, drones: 2, users: 6, max_steps: 6, num_envs: 2}
actor: {kind: vqc, circuit: {qubits: 6, layers: 1, encoding: {rotations: xyz}}}
critic: {kind: local, hidden: [8]}
algorithm: {epochs: 1, minibatches: 1}
federation: {sharing: federated, client: fleet, fleets: 3}
evaluation: {every: 0, episodes: 2, final_episodes: 2}
logging: {tensorboard: false, checkpoint_every: 1}
transport:
  kind: plain
  links:
    clients:
      fleet_0:
        link: {kind: satellite_drone}
        receiver: [0, 0, 100]
        satellite: {first: 0}
        session: {protocol: bb84, pulses: 8000000, source: single_photon}
      fleet_1:
        link: {kind: ground_drone}
        receiver: [300, 0, 60]
        session: {protocol: bb84, pulses: 200000, source: single_photon}
      fleet_2:
        link: {kind: drone_drone}
        sender: [0, 0, 50]
        receiver: [300, 0, 60]
        session: {protocol: bb84, pulses: 300000, source: single_photon}
"""
EVE = "transport.links.clients.fleet_2.eavesdropper={who: intercept_resend, rounds: [1, 2]}"


def covered(directory, *overrides, text=COVERAGE):
    """Loads the experiment with overrides; its runs land under the directory."""
    path = directory / "coverage.yaml"
    path.write_text(text)
    runs = f"logging.directory={directory / 'runs'}"
    return load(path, [runs, *overrides], ExperimentConfig, PRESETS)[0]


def final(run):
    """All parameters of the last checkpoint, as bytes."""
    arrays = load_checkpoint(run / "checkpoints", "latest").arrays
    return {
        f"{part}/{name}": array.tobytes()
        for part, found in arrays.items()
        if not part.startswith("links.")
        for name, array in found.items()
        if not name.startswith("heard/")
    }


def lines(run, name="links"):
    return read_lines(run / f"{name}.jsonl")


class _Stop(SilentProgress):
    """Ends a run in the middle, as a signal would."""

    def round(self, metrics):
        if metrics["round"] == 1:
            raise RunInterruptedError(signal.SIGTERM)


def interrupted_and_resumed(config):
    """Trains to the end of round 1, and from there on to the end."""
    try:
        start(config, source="# a test\n", console=_Stop())
    except RunInterruptedError:
        home = Path(config.logging.directory) / config.name
        run = max(home.glob("2*"), key=lambda path: path.stat().st_mtime_ns)
        return resume(run, SilentProgress())
    raise AssertionError("nothing interrupted the run")
