import hashlib
import json
import shutil

import numpy as np
import pytest

from qmarl import checkpoint
from qmarl.errors import ConfigurationError, RunError
from trainers.build import build
from trainers.config import ExperimentConfig
from trainers.evaluate import play
from trainers.interrupt import RunInterruptedError
from trainers.logger import read_metrics
from trainers.progress import SilentProgress
from trainers.rundir import RunDirectory
from trainers.runs import evaluate, resume
from trainers.state import TrainingState


def digest(run):
    """Hash of all parameters, moments and metrics of a run, clock readings apart."""
    state = checkpoint.load(run / "checkpoints")
    hashed = hashlib.sha256()
    for name, params in sorted(state.arrays.items()):
        for array, values in sorted(params.items()):
            hashed.update(f"{name}/{array}/{values.dtype}{values.shape}".encode())
            hashed.update(values.tobytes())
    for line in read_metrics(RunDirectory.open(run)):
        plain = {key: value for key, value in line.items() if not key.startswith("clock/")}
        hashed.update(json.dumps(plain, sort_keys=True).encode())
    told = run / "federation.jsonl"
    hashed.update(told.read_bytes() if told.exists() else b"")
    return hashed.hexdigest()


class StopAt(SilentProgress):
    """Interrupts a run as a signal would, after some rounds."""

    def __init__(self, rounds):
        self.left = rounds

    def round(self, metrics):
        self.left -= 1
        if self.left == 0:
            raise RunInterruptedError(15)


FLEETS = ("federation.client=fleet", "federation.fleets=3", "env.shards=1")
MODES = {
    "agents": (),
    "none": ("federation.sharing=none",),
    "shared": ("federation.sharing=shared",),
    "fleets": FLEETS,
    "central": ("critic.kind=central", "federation.strategy=fedadam"),
    "mlp": ("actor.kind=mlp",),
    "attacked": (
        "federation.attack={kind: gaussian, clients: [drone_0], deviation: 0.1}",
        "federation.strategy=centred_clipping",
    ),
    "poisson": (*FLEETS, "federation.participation={kind: poisson, rate: 0.6}"),
    "fraction": ("federation.participation=fraction", "federation.strategy=fedyogi"),
    "trace": (
        *FLEETS,
        "federation.participation={kind: trace, clients: {fleet_1: [[1, 2]]}, late_join: average}",
    ),
    "late": (
        *FLEETS,
        "federation.delays={fleet_0: 1, fleet_2: 2}",
        "federation.late=discount",
        "federation.buffer=2",
    ),
    "dropped": (*FLEETS, "federation.delays={fleet_0: 1}"),
    "top_k": ("federation.compression=top_k",),
    "quantised": ("federation.compression={kind: quantise, bits: 4}",),
    "masked": (*FLEETS, "federation.compression=random_mask"),
    "fisher": (*FLEETS, "federation.strategy=fisher"),
}


@pytest.mark.parametrize("mode", ["agents", "none", "shared", "fleets", "central", "mlp", "late"])
def test_a_run_leaves_everything_that_it_promises(small, train, mode):
    run = train(small(*MODES[mode]))
    files = {"config.yaml", "config.resolved.json", "env.json", "metrics.jsonl", "model.json"}
    assert files <= {path.name for path in run.iterdir()}
    lines = read_metrics(RunDirectory.open(run))
    assert [line["round"] for line in lines] == [0, 1, 2]
    assert all(np.isfinite(line["learn/all/entropy"]) for line in lines)
    assert (run / "federation.jsonl").exists() is (mode != "none")
    final = json.loads((run / "eval" / "final.json").read_text())
    assert final["episodes"] == 6
    assert 0 <= final["success"]["low"] <= final["success"]["mean"] <= final["success"]["high"] <= 1
    assert (run / "media" / "flight.gif").read_bytes()[:4] == b"GIF8"
    assert RunDirectory.open(run).status.state == "finished"


@pytest.mark.parametrize(
    ("mode", "rounds"),
    [(mode, 2) for mode in MODES if mode not in ("shared", "mlp")]
    + [(mode, 1) for mode in ("agents", "fleets", "late", "trace", "top_k")],
)
def test_a_resumed_run_ends_with_the_same_bits(small, train, mode, rounds, tmp_path):
    config = small(*MODES[mode], "logging.checkpoint_every=10")
    whole = digest(train(config))
    from trainers.runs import train as start

    with pytest.raises(RunInterruptedError) as stopped:
        start(config, source="", console=StopAt(rounds))
    assert stopped.value.exit_code == 143
    interrupted = max((tmp_path / "runs" / "small").glob("2*"), key=lambda p: p.stat().st_mtime_ns)
    assert RunDirectory.open(interrupted).status.state == "interrupted"
    resume(interrupted, SilentProgress())
    assert digest(interrupted) == whole


def test_federation_moves_all_clients_to_one_shared_actor_and_leaves_critics_at_home(small, train):
    run = train(small())
    params = checkpoint.load(run / "checkpoints").arrays["params.all"]
    for name, array in params.items():
        alike = bool((array[0] == array[1]).all())
        assert alike is name.startswith("actor."), name


def test_without_sharing_every_agent_stays_its_own(small, train):
    run = train(small("federation.sharing=none"))
    params = checkpoint.load(run / "checkpoints").arrays["params.all"]
    assert all((array[0] != array[1]).any() for name, array in params.items() if "bias" not in name)
    assert not any("federation" in key for key in read_metrics(RunDirectory.open(run))[0])


def test_every_fleet_is_judged_with_its_own_personal_parameters(small, train):
    share = 'federation.share=["actor.readout.*"]'
    run = train(small(*MODES["fleets"], share))
    parts = build(RunDirectory.open(run).config(ExperimentConfig))
    state = TrainingState.from_checkpoint(checkpoint.load(run / "checkpoints", "best"))
    sites = parts.sites(state.params)
    assert len(sites) == 3
    assert (sites[0]["all"]["angles"] != sites[2]["all"]["angles"]).any()
    whole = play(parts.config.env, parts.seats, sites, 7, 0, greedy=True)
    alone = play(parts.config.env, parts.seats, sites[:1], 3, 0, greedy=True)
    assert len(whole["return"]) == 7
    assert (whole["return"][:3] == alone["return"]).all()


def test_bytes_are_counted_both_ways(small, train):
    line = read_metrics(RunDirectory.open(train(small())))[0]
    model = json.loads((RunDirectory.open(train(small())).model).read_text())
    numbers = 8 * model["all"]["actor"]["parameters"] * 2
    assert line["federation/all/bytes_up"] > numbers
    assert line["federation/all/bytes_down"] > numbers
    assert line["federation/all/participants"] == 2


def test_evaluation_is_a_pure_function_of_run_and_seed(small, train):
    run = train(small())
    once, again = (evaluate(run, episodes=8, seed=5, greedy=False) for _ in range(2))
    assert once == again
    assert evaluate(run, episodes=8, seed=6, greedy=False)["return"] != once["return"]
    assert evaluate(run, episodes=8, seed=5, greedy=True)["return"] != once["return"]
    changed = evaluate(run, episodes=8, seed=5, greedy=False, overrides=["env.speed=2.0"])
    assert changed["return"] != once["return"]


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(small, train):
    run = train(small())
    newest = sorted((run / "checkpoints").glob("step-*"))[-1]
    victim = newest / "params.all.safetensors"
    raw = bytearray(victim.read_bytes())
    raw[-3] ^= 1
    victim.write_bytes(bytes(raw))
    notes = []

    class Notes(SilentProgress):
        def note(self, message):
            notes.append(message)

    assert checkpoint.load(run / "checkpoints").step == 2
    resume(run, Notes())
    assert len(notes) == 1
    assert "params.all.safetensors" in notes[0]
    assert checkpoint.load(run / "checkpoints").step == 3


def test_a_checkpoint_that_lacks_a_part_is_refused(small, train):
    run = train(small())
    loaded = checkpoint.load(run / "checkpoints")
    checkpoint.save(run / "checkpoints", 9, loaded.arrays, {"round": 9})
    with pytest.raises(RunError, match="lacks 'env_steps'"):
        TrainingState.from_checkpoint(checkpoint.load(run / "checkpoints"))


def test_a_directory_that_is_not_a_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="not a run directory"):
        resume(tmp_path, SilentProgress())


def test_a_run_in_use_is_refused(small, train, tmp_path):
    run = train(small())
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    with RunDirectory.open(copy).locked(), pytest.raises(RunError, match="locked by process"):
        resume(copy, SilentProgress())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("env.rollout_steps=3",), "rollout_steps"),
        (("federation.share=[actor.angels]",), "did you mean 'actor.angles'"),
        (("critic.kind=central", "federation.share=[actor.*, critic.*]"), "central critic"),
        (("agents={scouts: 'drone_9'}",), "matches no agent"),
        (("agents={a: '*', b: 'drone_0'}",), "exactly one group"),
        (("actor.circuit.qubits=2",), "inputs do not fit"),
        (("evaluation.every=9",), "evaluation.every 9 is more than"),
        (("env.shards=3",), "shards"),
        (("federation.client=fleet", "federation.fleets=2"), "shards"),
        (("executor.workers=3",), "ray"),
        (("federation.min_fit_clients=5",), "min_fit_clients"),
        (("actor.backend=pennylane:default.quibit",), "default.qubit"),
    ],
)
def test_what_does_not_fit_together_is_refused_before_round_0(small, train, overrides, message):
    with pytest.raises(ConfigurationError, match=message):
        train(small(*overrides))


def test_a_diverging_run_says_so_and_keeps_what_it_has(small, train, tmp_path):
    config = small("actor.kind=mlp", "algorithm.learning_rate={critic: 1e30}")
    with pytest.raises(RunError, match="diverged"):
        train(config)
    run = next((tmp_path / "runs" / "small").glob("2*"))
    assert RunDirectory.open(run).status.state == "failed"
    assert checkpoint.load(run / "checkpoints").step == 0
