"""``qmarl circuits``: what it draws, tells and measures, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trainers import cli

ROOT = Path(__file__).parents[2]
SMALL = """\
name: demo
env: {id: drone_navigation, drones: 2}
actor:
  circuit:
    qubits: 4
    layers: 2
    encoding: {rotations: xyz}
    ansatz: {kind: hardware_efficient, initialisation: identity_block}
"""
COMMANDS = ["draw", "describe", "diagnose"]
QUICK = ["--qubits", "2-4", "--layers", "1,2", "--samples", "4"]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "demo.yaml"
    path.write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    return path


@pytest.fixture
def circuits(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["qmarl", "circuits", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(circuits: Any, command: str) -> None:
    code, out, _ = circuits(command, "--help")
    assert code == 0
    assert f"qmarl circuits {command}" in out
    assert command in circuits("--help")[1]


def test_the_readme_has_a_row_for_each() -> None:
    readme = (ROOT / "README.md").read_text()
    assert not [command for command in COMMANDS if f"`qmarl circuits {command} " not in readme]


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['qmarl', 'circuits', '--help']\n"
        "from trainers.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print({'torch', 'pennylane', 'matplotlib', 'scipy'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stderr == "set()\n"


def test_draw_as_text_and_to_files(circuits: Any, config: Path) -> None:
    code, out, err = circuits("draw", config, "--svg", "c.svg", "--png", "c.png")
    assert code == 0
    assert [line[:3] for line in out.splitlines()[:3]] == ["0: ", "1: ", "2: "]
    assert "RX" in out
    assert "<Z>" in out
    assert err == "wrote c.svg\nwrote c.png\n"
    assert "<svg" in Path("c.svg").read_text()
    assert Path("c.png").read_bytes().startswith(b"\x89PNG")


def test_describe(circuits: Any, config: Path) -> None:
    code, out, _ = circuits("describe", config, "--json")
    facts = json.loads(out)
    assert code == 0
    assert (facts["qubits"], facts["outputs"], facts["parameters"]) == (4, 4, 36)
    assert (facts["path"], facts["initialisation"]) == ("program", "identity_block")
    out = circuits("describe", config, "actor.backend=pennylane:default.qubit")[1]
    told = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert told["path"] == "pennylane:default.qubit"
    assert "8 CZ" in told["gates"]


def test_diagnose_measures_and_draws(circuits: Any, config: Path) -> None:
    code, out, err = circuits("diagnose", config, *QUICK, "--json", "--plot", "found.svg")
    assert code == 0
    assert err.endswith("wrote found.svg\n")
    assert "<svg" in Path("found.svg").read_text()
    found = json.loads(out)
    landscape, start = found["gradients"]
    rows = [(row["layers"], row["qubits"]) for row in landscape["rows"]]
    assert rows == [(depth, width) for depth in (1, 2) for width in (2, 3, 4)]
    assert (landscape["initialisation"], landscape["observable"]) == ("uniform", "local")
    assert start["initialisation"] == "identity_block"
    assert {row["layers"] for row in start["rows"]} == {2}
    assert len(found["expressibility"]["fidelities"]) == 75
    assert 0 < found["entangling_capability"]["mean"] < 1
    assert found["effective_dimension"]["parameters"] == 36


def test_diagnose_tells_people(circuits: Any, config: Path) -> None:
    settings = ["ansatz.initialisation=uniform", "readout.kind=probabilities"]
    overrides = [f"actor.circuit.{setting}" for setting in settings]
    code, out, _ = circuits("diagnose", config, *QUICK, "--observable", "global", *overrides)
    assert code == 0
    assert out.count("variance of the gradient of the global cost, 'uniform' angles") == 1
    assert "1 layers: " in out
    for measure in ("expressibility", "entangling capability", "effective dimension"):
        assert f"\n{measure} " in out
    assert Path("circuits.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["diagnose", "--samples", "1"], "samples: got 1, at least 2 are needed"),
        (["diagnose", "--qubits", "two"], "--qubits: got 'two', it must look like 2-8 or 2,4,6"),
        (["diagnose", "--qubits", "5-2"], "--qubits: got '5-2', it must look like"),
        (["diagnose", "--qubits", "0-2"], "qubits: got 0, allowed are 1 to 20"),
        (["diagnose", "--plot", "x.gif"], "x.gif: a picture's name ends with .png or .svg or .pdf"),
        (["diagnose", "--plot", "none/x.png"], "none/x.png: there is no directory 'none'"),
        (["draw", "--svg", "x.png"], "--svg: x.png must end with .svg"),
        (["draw", "--group", "al"], "did you mean 'all'?"),
        (["describe", "actor.kind=mlp"], "actor.kind: 'mlp' has no circuit; add actor.kind=vqc"),
        (["describe", "actor.circuit.layers=3"], "there are 3; use an even number"),
        (["describe", "actor.backend=pennylane:none"], "PennyLane has no device 'none' here"),
    ],
)
def test_refusals(circuits: Any, config: Path, arguments: list[str], message: str) -> None:
    command, *rest = arguments
    code, out, err = circuits(command, config, *rest)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_groups_have_their_own_inputs(circuits: Any, config: Path) -> None:
    groups = "agents={first: drone_0, second: drone_1}"
    for group in ("first", "second"):
        code, out, _ = circuits("describe", config, groups, "--group", group, "--json")
        assert (code, json.loads(out)["inputs"]) == (0, 12)
    assert os.listdir() == ["demo.yaml"]  # noqa: PTH208 - nothing was left behind
