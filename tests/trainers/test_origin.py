"""A run that begins with another run's parameters."""

import shutil

import numpy as np
import pytest
from test_runs import digest

from qmarl import checkpoint
from qmarl.errors import ConfigurationError
from trainers.build import build
from trainers.origin import Origin
from trainers.progress import SilentProgress
from trainers.report_data import read
from trainers.rundir import RunDirectory
from trainers.runs import resume
from trainers.runs import train as start
from trainers.state import TrainingState


class Heard(SilentProgress):
    """Remembers what a person was told."""

    def __init__(self):
        self.notes = []

    def note(self, message):
        self.notes.append(message)


@pytest.fixture
def origin(small, train):
    """A short run to begin with."""
    return train(small("rounds=2"))


def best(run):
    return TrainingState.from_checkpoint(checkpoint.load(run / "checkpoints", "best"))


def test_round_zero_begins_with_the_best_parameters(small, origin):
    begun = build(small("seed=7"), Origin.read(origin)).start
    for name, array in best(origin).params["all"].items():
        np.testing.assert_array_equal(begun.params["all"][name], array)
    assert begun.round == 0
    assert not any(np.any(moment) for moment in begun.moments["all"].values())


def test_the_server_begins_with_them_too(small, origin):
    parts = build(small("seed=7"), Origin.read(origin))
    for name, array in parts.federations["all"].server.params.items():
        np.testing.assert_array_equal(array, best(origin).params["all"][name][0])


def test_a_run_goes_on_when_its_origin_is_gone(small, origin, tmp_path):
    whole = start(small("seed=3"), source="", console=SilentProgress(), origin=origin)
    cut = shutil.copytree(whole, tmp_path / "cut")
    for step in (2, 3):
        shutil.rmtree(cut / "checkpoints" / f"step-{step:08d}")
    shutil.rmtree(origin)
    resume(cut, SilentProgress())
    assert digest(cut) == digest(whole)
    kept = Origin.kept(RunDirectory.open(cut))
    assert read(cut).origin == {"run": str(origin), "round": kept.round}


def test_a_shared_model_goes_to_any_number_of_clients(small, origin):
    fleets = ("federation.client=fleet", "federation.fleets=5", "env.shards=1")
    begun = build(small(*fleets), Origin.read(origin)).start
    shared = best(origin).params["all"]["actor.angles"]
    np.testing.assert_array_equal(begun.params["all"]["actor.angles"], np.repeat(shared[:1], 5, 0))


def test_different_models_do_not_go_to_another_number(small, train):
    alone = train(small("rounds=1", "evaluation.every=1", "federation.sharing=none"))
    with pytest.raises(ConfigurationError, match=r"has \d different models there and 5 here"):
        build(
            small("federation.client=fleet", "federation.fleets=5", "env.shards=1"),
            Origin.read(alone),
        )


def test_what_does_not_fit_is_named(small, origin):
    with pytest.raises(ConfigurationError, match=r"'actor\.\w+' of group 'all' has shape"):
        build(small("actor.kind=mlp"), Origin.read(origin))
    with pytest.raises(ConfigurationError, match="it has no group 'crew', only"):
        build(small("agents={crew: '*'}"), Origin.read(origin))


def test_a_critic_that_does_not_fit_begins_anew_and_is_noted(small, origin):
    heard = Heard()
    config = small("rounds=1", "evaluation.every=1", "critic.kind=central")
    start(config, source="", console=heard, origin=origin)
    assert any("critic of group 'all' begins anew" in note for note in heard.notes)


def test_settings_of_the_actor_that_differ_are_noted(small, origin):
    same, other = small(), small("actor.circuit.encoding.rotations=zyx")
    begun = build(same).start
    assert list(Origin.read(origin).remarks(same, begun)) == []
    (note,) = Origin.read(origin).remarks(other, begun)
    assert "settings differ" in note
    assert "circuit" in note
