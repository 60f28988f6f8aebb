from dataclasses import replace

import numpy as np
import pytest

from qmarl import checkpoint
from qmarl.errors import RunError
from trainers.build import build
from trainers.state import TrainingState


@pytest.fixture
def start(small):
    return build(small("actor.kind=mlp", "actor.hidden=[3]", "agents={a: drone_0, b: '*_1'}")).start


def equal(one, other):
    assert (one.round, one.env_steps, one.best) == (other.round, other.env_steps, other.best)
    ours, theirs = one.arrays(), other.arrays()
    assert list(ours) == list(theirs)
    for part, params in ours.items():
        assert set(params) == set(theirs[part])
        for name, array in params.items():
            again = theirs[part][name]
            assert (again.dtype, again.shape) == (array.dtype, array.shape)
            assert again.tobytes() == array.tobytes()


@pytest.mark.parametrize("best", [None, 0.875])
def test_a_state_comes_back_from_a_checkpoint_bit_for_bit(start, tmp_path, best):
    server = {"a": {"params/actor.b1": np.array([1 / 3, -0.0, 1e-300])}}
    state = replace(start, round=7, env_steps=336, best=best, server=server)
    checkpoint.save(tmp_path, state.round, state.arrays(), state.meta())
    equal(TrainingState.from_checkpoint(checkpoint.load(tmp_path)), state)


def test_groups_may_have_dots_in_their_names(start, tmp_path):
    odd = TrainingState(
        1, 2, None, None, {"team.a": start.params["a"]}, {"team.a": start.moments["a"]}
    )
    checkpoint.save(tmp_path, 1, odd.arrays(), odd.meta())
    equal(TrainingState.from_checkpoint(checkpoint.load(tmp_path)), odd)


@pytest.mark.parametrize("missing", ["round", "env_steps", "best"])
def test_a_checkpoint_that_lacks_a_number_is_refused_by_name(start, tmp_path, missing):
    meta = {name: value for name, value in start.meta().items() if name != missing}
    checkpoint.save(tmp_path, 0, start.arrays(), meta)
    with pytest.raises(RunError, match=f"step 0 lacks '{missing}'"):
        TrainingState.from_checkpoint(checkpoint.load(tmp_path))


def test_a_checkpoint_with_a_foreign_part_is_refused(start, tmp_path):
    arrays = {**start.arrays(), "wishes.a": {"x": np.zeros(1)}}
    checkpoint.save(tmp_path, 0, arrays, start.meta())
    with pytest.raises(RunError, match="'wishes'"):
        TrainingState.from_checkpoint(checkpoint.load(tmp_path))
