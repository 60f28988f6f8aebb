"""``qmarl links``: what it tells and draws of quantum links, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trainers import cli
from trainers.links import WEATHERS

ROOT = Path(__file__).parents[2]
SMALL = """\
name: demo
rounds: 1
env: {id: drone_coverage, drones: 2, max_steps: 20}
evaluation: {every: 0}
transport:
  links:
    clients:
      near: {link: fibre, receiver: [10000, 0, 0], session: {protocol: bbm92, pairs: 600000}}
      wing:
        link: drone_drone
        sender: [0, 0, 80]
        receiver: [300, 0, 80]
        session: {protocol: bb84, pulses: 2000000}
        eavesdropper: {who: intercept_resend, rounds: [1, 2]}
"""


@pytest.fixture
def links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    (tmp_path / "demo.yaml").write_text(SMALL)
    monkeypatch.chdir(tmp_path)

    def run(command: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["qmarl", "links", command, "demo.yaml", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return end.value.code or 0, said.out, said.err

    return run


def test_budgets_are_told_and_drawn(links: Any, tmp_path: Path) -> None:
    code, out, err = links("budget", "--flight", "--plot", "rates.png")
    assert code == 0, err
    assert "near: fibre, 10 km, 2.0 dB" in out
    assert all(f"bit/s in {weather}" in out for weather in WEATHERS)
    assert "wing: drones in drone_coverage, 20 steps" in out
    assert "near: drones" not in out  # nobody flies at the end of a fibre
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")
    code, out, _ = links("budget", "--link", "wing", "--json")
    told = json.loads(out)["links"]
    assert code == 0
    assert [link["name"] for link in told] == ["wing"]
    rates = told[0]["rates"]
    assert rates["clear"] > rates["haze"] > rates["mist"] > rates["fog"]
    for sweep in told[0]["sweeps"]:
        assert set(sweep["rates"]) == set(WEATHERS)
        assert all(len(each) == len(sweep["values"]) for each in sweep["rates"].values())
    falling = told[0]["sweeps"][0]["rates"]["clear"]
    assert falling == sorted(falling, reverse=True)


def test_sessions_tell_errors_keys_aborts_and_what_was_learned(links: Any) -> None:
    code, out, err = links("simulate", "--rounds", "3", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["near"]["keys"] == 3
    assert told["near"]["key_bits"] > 3 * 256
    assert told["near"]["learned_raw_bits"] == 0
    wing = told["wing"]
    assert (wing["keys"], wing["aborts"]) == (1, {"error_rate": 2})
    assert (wing["listened"], wing["eavesdropper"]) == ([1, 2], ["intercept_resend"])
    assert wing["learned_raw_bits"] > 1000
    assert wing["learned_raw_bits_of_keys"] == 0
    code, out, _ = links("simulate", "--rounds", "3", "--link", "wing")
    assert "aborted: 2 by error_rate" in out
    assert "intercept_resend in rounds 1-2; knew" in out


@pytest.mark.parametrize(
    ("command", "arguments", "named"),
    [
        ("budget", ["--link", "nera"], "'near'"),
        ("budget", ["--plot", "rates.txt"], "--plot"),
        ("budget", ["transport.links.clients.wing.link.weather=snow"], "weather"),
        ("simulate", ["transport.links.clients.wing.link=pigeon"], "link"),
        ("simulate", ["transport.links.clients.wing.session.pulses=0"], "pulses"),
    ],
)
def test_bad_input_is_named(links: Any, command: str, arguments: list[str], named: str) -> None:
    code, _, err = links(command, *arguments)
    assert code == 2
    assert named in err
    assert "Traceback" not in err


def test_the_shipped_example_loads_with_every_kind_of_link() -> None:
    from trainers.config import load_experiment
    from trainers.links import named_links

    config = load_experiment(ROOT / "configs" / "secure" / "links.yaml")
    kinds = {link.link.kind for link in named_links(config.transport.links).values()}
    assert kinds == {
        "fibre",
        "ground_drone",
        "drone_drone",
        "satellite_drone",
        "satellite_ground",
    }
