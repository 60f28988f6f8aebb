"""Learning on a GPU agrees with the processor; without one it is refused in a sentence."""

import numpy as np
import pytest
from test_runs import FLEETS

from qmarl.errors import ConfigurationError
from trainers.algorithms.update import found
from trainers.build import build, make_rounds
from trainers.distributed import InlineExecutor


def has_gpu():
    import torch

    return torch.cuda.is_available()


def learned(config):
    parts = build(config)
    rounds = make_rounds(parts, InlineExecutor())
    return rounds.play(parts.start.params, parts.start.moments, 0, 0.0).learned["all"]


@pytest.mark.skipif("not has_gpu()", reason="no GPU, or no CUDA build of PyTorch")
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(
    "words",
    [(), ("actor.kind=mlp",), ("env.actions=continuous",), ("critic.kind=central",), FLEETS],
    ids=["circuit", "mlp", "continuous", "central", "fleets"],
)
def test_a_gpu_learns_what_the_processor_learns(small, words, precision):
    words = (*words, f"actor.precision={precision}")
    here, there = (learned(small(*words, f"device={device}")) for device in ("cpu", "cuda"))
    for name, array in here.params.items():
        np.testing.assert_allclose(there.params[name], array, atol=1e-5, err_msg=name)
    assert there.metrics == pytest.approx(here.metrics, abs=1e-4)


@pytest.mark.skipif("has_gpu()", reason="there is a GPU")
def test_without_a_gpu_it_is_told_before_anything_starts(small):
    with pytest.raises(ConfigurationError, match=r"device: 'cuda', but this process sees no GPU"):
        build(small("device=cuda"))
    assert build(small("device=cuda", "executor={kind: ray, num_gpus: 1}")).groups
    assert str(found("cpu")) == "cpu"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("critic.kind=split",), "split learning runs on the processor alone"),
        (("actor.shots=100",), "or with shots, runs on the processor alone"),
        (("actor.backend=pennylane:default.qubit",), "on a PennyLane device, or"),
        (("noise.depolarising=0.01",), "a circuit with noise runs on the processor alone"),
        (("device=gpu",), "device"),
    ],
)
def test_what_no_gpu_can_do_is_refused(small, words, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        small("device=cuda", *words)
