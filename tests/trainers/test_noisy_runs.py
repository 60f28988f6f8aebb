"""Runs under noise and with shots: they train, resume to the same bits, and are told as such."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from agents.actor import ActorConfig
from agents.factory import make_actor
from qmarl import checkpoint
from qmarl.circuits.noise import NoiseConfig
from qmarl.errors import ConfigurationError, RunError
from trainers.cli import app
from trainers.interrupt import RunInterruptedError
from trainers.logger import read_metrics
from trainers.progress import SilentProgress
from trainers.rundir import RunDirectory
from trainers.runs import evaluate, resume
from trainers.runs import train as start

MODES = {
    "noise": ("noise={depolarising: 0.02, amplitude_damping: 0.01, readout_error: 0.03}",),
    "layers": ("noise={phase_damping: 0.05, placement: layer}",),
    "spsa": ("actor.shots=20", "actor.gradient=spsa", "actor.spsa.draws=2"),
    "shots": ("actor.shots=20", "noise.readout_error=0.02", "env.num_envs=2", "env.max_steps=6"),
}


def parameters(run):
    state = checkpoint.load(run / "checkpoints")
    return {
        (part, name): values
        for part, arrays in state.arrays.items()
        for name, values in arrays.items()
    }


class StopAtOnce(SilentProgress):
    def round(self, metrics):
        raise RunInterruptedError(15)


@pytest.mark.parametrize("mode", MODES)
def test_a_run_trains_says_how_and_resumes_to_the_same_bits(small, train, mode, tmp_path):
    config = small("rounds=2", *MODES[mode])
    run = train(config)
    lines = read_metrics(RunDirectory.open(run))
    assert len(lines) == 2
    assert all(line["learn/all/grad_norm"] > 0 for line in lines)
    told = json.loads((run / "model.json").read_text())["all"]["measurement"]
    assert told["shots"] == config.actor.shots
    assert told["gradient"] == {"spsa": "spsa", "shots": "parameter_shift"}.get(mode, "adjoint")
    assert told["noise"] == (None if config.noise.silent else config.noise.model_dump())
    with pytest.raises(RunInterruptedError):
        start(config, source="", console=StopAtOnce())
    stopped = max((tmp_path / "runs" / "small").glob("2*"), key=lambda p: p.stat().st_mtime_ns)
    resume(stopped, SilentProgress())
    whole, again = parameters(run), parameters(stopped)
    assert whole.keys() == again.keys()
    assert all((whole[key] == again[key]).all() for key in whole)


def test_noise_changes_what_is_learned_and_how_a_team_scores(small, train):
    ideal, noisy = train(small()), train(small(*MODES["noise"]))
    one, other = parameters(ideal), parameters(noisy)
    assert any((one[key] != other[key]).any() for key in one)
    plain, under = (
        evaluate(ideal, episodes=6, greedy=False, overrides=settings)["return"]
        for settings in ((), ["noise.depolarising=0.5"])
    )
    assert plain != under


REFUSED = [
    (("actor.kind=mlp", "noise.depolarising=0.1"), "acts on 'actor.kind: vqc' alone, not on 'mlp'"),
    (("actor.kind=mlp", "actor.shots=10"), "for 'kind: vqc', not for 'mlp'"),
    (("actor.backend=pennylane:default.mixed", "noise.depolarising=0.1"), "default.mixed"),
    (("actor.backend=pennylane:default.qubit", "actor.gradient=spsa"), "for 'backend: program'"),
    (
        (
            "actor.backend=pennylane:default.qubit",
            "actor.shots=10",
            "actor.device_options.shots=5",
        ),
        "shots: 10, but device_options has 5",
    ),
    (("actor.shots=0",), "actor.shots: must be at least 1"),
    (("actor.shots=5", "actor.gradient=adjoint"), "needs the exact state"),
    (("noise.readout_error=0.6",), "noise.readout_error: must be at most 0.5"),
    (("noise.depolarizing=0.6",), "did you mean 'depolarising'"),
]


@pytest.mark.parametrize(("overrides", "message"), REFUSED)
def test_what_does_not_fit_together_is_refused_with_the_configuration(small, overrides, message):
    with pytest.raises(ConfigurationError, match=message):
        small(*overrides)


CIRCUIT = {"qubits": 3, "layers": 1, "encoding": {"rotations": "xy"}}
NOISE = NoiseConfig(depolarising=0.05, amplitude_damping=0.05)


def test_noisy_actors_act_as_they_learn_and_need_a_circuit():
    config = ActorConfig.model_validate({"circuit": CIRCUIT, "precision": "float64"})
    actor, ideal = (make_actor(config, 6, 4, noise) for noise in (NOISE, NoiseConfig()))
    params = {k: v[None] for k, v in actor.initial(np.random.default_rng(0)).items()}
    seen = np.random.default_rng(1).normal(size=(1, 5, 6))
    acted = actor.policy.bind(params)(seen)
    tensors = {name: torch.as_tensor(array) for name, array in params.items()}
    learned = actor.outputs(tensors, torch.as_tensor(seen)).numpy()
    np.testing.assert_allclose(acted, learned, atol=1e-12)
    assert np.abs(acted - ideal.policy.bind(params)(seen)).max() > 0.01
    twin = config.model_copy(update={"kind": "mlp"})
    with pytest.raises(ConfigurationError, match="does not act on an actor of kind 'mlp'"):
        make_actor(twin, 6, 4, NOISE)


@pytest.mark.parametrize("shots", [None, 7])
def test_a_worker_acts_and_learns_under_noise_without_pennylane(tmp_path, shots):
    config = ActorConfig.model_validate({"circuit": CIRCUIT, "shots": shots})
    actor = make_actor(config, 6, 4, NOISE)
    params = {k: v[None] for k, v in actor.initial(np.random.default_rng(0)).items()}
    path = tmp_path / "actor"
    path.write_bytes(pickle.dumps((actor, params)))
    code = (
        "import pickle, sys, numpy as np\n"
        f"actor, params = pickle.loads(open({str(path)!r}, 'rb').read())\n"
        "logits = actor.policy.bind(params)(np.ones((1, 3, 6)))\n"
        "assert 'torch' not in sys.modules\n"
        "import torch\n"
        "params = {n: torch.as_tensor(a).float().requires_grad_() for n, a in params.items()}\n"
        "actor.outputs(params, torch.ones(1, 3, 6)).sum().backward()\n"
        "assert params['angles'].grad.abs().sum() > 0\n"
        "assert 'pennylane' not in sys.modules\n"
        "print(logits.tobytes().hex())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    here = actor.policy.bind(params)(np.ones((1, 3, 6)))
    assert done.stdout.strip() == here.tobytes().hex()  # the same samples in any process


def test_the_sweep_prints_a_table_and_json(small, train):
    run = train(small())
    asked = ["circuits", "noise", str(run), "--episodes", "4", "--readout-error", "0,0.2"]
    shown = CliRunner().invoke(app, asked)
    assert shown.exit_code == 0, shown.output
    head, *lines = shown.output.splitlines()
    assert head.split() == ["noise", "probability", "return", "success", "collision"]
    assert [line.split()[:2] for line in lines] == [
        ["readout_error", "0"],
        ["readout_error", "0.2"],
    ]
    told = CliRunner().invoke(app, [*asked, "--depolarising", "0.3", "--json"])
    rows = json.loads(told.output)
    assert [(row["noise"], row["probability"]) for row in rows] == [
        ("depolarising", 0.3),
        ("readout_error", 0.0),
        ("readout_error", 0.2),
    ]
    assert rows[1]["return"] == evaluate(run, episodes=4)["return"]
    assert {"mean", "low", "high"} == rows[0]["success"].keys()


def test_the_sweep_refuses_what_it_cannot_read(small, train, tmp_path):
    run = train(small("actor.kind=mlp"))
    for option, text, kind, message in (
        ("--depolarising", "0,x", ConfigurationError, "numbers between commas"),
        ("--phase-damping", "1.5", ConfigurationError, "must be at most 1"),
        ("--phase-damping", "0.5", ConfigurationError, "alone, not on 'mlp'"),
    ):
        done = CliRunner().invoke(app, ["circuits", "noise", str(run), option, text])
        assert isinstance(done.exception, kind)
        assert message in str(done.exception)
    done = CliRunner().invoke(app, ["circuits", "noise", str(tmp_path)])
    assert isinstance(done.exception, RunError)
