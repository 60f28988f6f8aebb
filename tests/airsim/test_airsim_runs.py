"""Commands with a simulator behind them: evaluate there, keep flights, train there."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from real_simulator import Proxy, settings

from envs import make
from envs.airsim_server import serve
from envs.airsim_wire.address import Address
from envs.backends.airsim_fleet import fleet_of
from envs.check import random_actions
from envs.flight import record
from envs.flight_file import pack_flights, read_flights
from qmarl.errors import RunError
from trainers import rollout
from trainers.cli import main
from trainers.gap import at_home

TINY = """\
name: tiny
rounds: 2
env: {id: drone_navigation, drones: 2, obstacles: 1, max_steps: 12, num_envs: 2}
actor: {kind: mlp, hidden: [4]}
critic: {hidden: [4]}
algorithm: {epochs: 1, minibatches: 1}
evaluation: {every: 0, episodes: 2, final_episodes: 2}
logging: {directory: RUNS, tensorboard: false}
"""


@pytest.fixture(autouse=True)
def no_simulator_kept():
    yield
    rollout._world.cache_clear()  # a process keeps its training worlds until it ends
    fleet_of.cache_clear()


@pytest.fixture
def served():
    with serve(settings(("drone_0", "drone_1")), physics="point") as found:
        yield found


@pytest.fixture
def qmarl(monkeypatch, capsys):
    """Runs a command here; exit code, stdout and stderr."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["qmarl", *map(str, words)])
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY.replace("RUNS", str(tmp_path / "runs")))
    return path


def test_evaluate_in_a_simulator_and_look_at_it_again(qmarl, config, served, tmp_path):
    assert qmarl("train", config)[0] == 0
    run = tmp_path / "runs" / "tiny" / "latest"
    words = ["env.backend=airsim", f"env.address=127.0.0.1:{served.port}", "--episodes", 3]
    code, out, err = qmarl("evaluate", run, *words, "--record")
    assert (code, err) == (0, "")
    assert "lost          0.000" in out
    assert "gap\n  success" in out
    gap = json.loads((run / "gap.json").read_text())
    apart = gap["measures"]["apart"]["away"]["mean"]
    assert 0 <= apart < 0.05  # the same physics on both sides, but for walls and who has crashed
    assert gap["measures"]["path"]["difference"]["mean"] == pytest.approx(0, abs=0.1)
    assert len(gap["episodes"]) == 3
    flights = read_flights(run / "media" / "flights.npz")
    assert [flight.outcomes["lost"] for flight in flights] == [0, 0, 0]
    assert qmarl("replay", run, "--episode", 2)[0] == 0
    assert (run / "media" / "flight-2.gif").read_bytes()[:6] == b"GIF89a"
    code, _, err = qmarl("replay", run, "--episode", 3)
    assert code == 2
    assert "flights 0 to 2" in err
    assert qmarl("report", run)[0] == 0
    page = (run / "report.html").read_text()
    assert "In a simulator" in page
    assert page.count('class="flown tone-1"') == 6


def test_train_in_a_simulator_and_stop_with_one_sentence_without_it(qmarl, config, served):
    there = ["env.backend=airsim", "env.num_envs=1", f"env.address=127.0.0.1:{served.port}"]
    code, _, err = qmarl("train", config, *there)
    assert code == 0, err
    nobody = ["env.backend=airsim", "env.num_envs=1", "env.airsim.patience_s=0.3"]
    code, _, err = qmarl("train", config, *nobody, "env.address=127.0.0.1:9")
    assert code == 3
    assert err.strip().endswith("gave up after 0.3 s (env.airsim.patience_s)")
    assert err.count("error:") == 1
    assert "Traceback" not in err


def test_too_many_copies_for_the_simulators_are_refused_before_the_first_round(qmarl, config):
    code, _, err = qmarl("train", config, "env.backend=airsim")
    assert code == 2
    assert "env.num_envs: 2 copies" in err


def test_training_goes_on_when_a_simulator_is_lost_in_between(qmarl, config, served, tmp_path):
    """Its connection is cut in mid-episode; the episode counts as lost and the run ends well."""
    proxy, answers = Proxy(Address(port=served.port)), []

    def cut_once(data):
        if b"linear_velocity" not in data:
            return data
        answers.append(data)  # states; the first ones at rest
        return None if len(answers) == 5 else data

    proxy.spoil = cut_once
    there = ["env.backend=airsim", "env.num_envs=1", f"env.address={proxy.address}"]
    code, _, err = qmarl("train", config, *there)
    proxy.close()
    assert code == 0, err
    lines = (tmp_path / "runs" / "tiny" / "latest" / "metrics.jsonl").read_text().splitlines()
    lost = [json.loads(line)["episode/lost"] for line in lines]
    assert max(lost) > 0


def test_overrides_that_say_where_are_not_made_at_home():
    words = ["env.backend=airsim", "env.address=a", "env.airsim.timeout_s=2", "env.drones=4"]
    assert at_home(words) == ["env.drones=4"]
    assert at_home(["env.backends=x", "env.airsim={}"]) == ["env.backends=x"]


def test_flights_come_back_from_their_file(tmp_path):
    world = make({"id": "convoy_escort", "max_steps": 160}, 1)
    flight = record(world, lambda view: random_actions(world.spec, view, 0, 0), seed=1)
    path = tmp_path / "flights.npz"
    path.write_bytes(pack_flights([flight, flight]))
    again = read_flights(path)[1]
    assert again.agents == flight.agents
    assert dict(again.outcomes) == dict(flight.outcomes)
    for name in ("positions", "time", "status", "goals", "headings", "lines", "links"):
        one, other = getattr(again, name), getattr(flight, name)
        assert (one is None) == (other is None)
        assert one is None or np.array_equal(one, other, equal_nan=True)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00"])
def test_a_file_that_holds_no_flights(tmp_path, content):
    path = tmp_path / "flights.npz"
    path.write_bytes(content)
    with pytest.raises(RunError, match="is no file of flights"):
        read_flights(path)


def test_a_file_of_other_arrays(tmp_path):
    path = tmp_path / "flights.npz"
    np.savez(path, description=np.frombuffer(b'{"format": "x", "flights": []}', np.uint8))
    with pytest.raises(RunError, match="its format is not"):
        read_flights(path)
