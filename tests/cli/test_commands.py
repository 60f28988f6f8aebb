"""The command line: what it prints, where, and with which exit code it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qmarl import __version__
from qmarl.errors import RunError, UnreachableError
from trainers import cli

ROOT = Path(__file__).parents[2]
GOOD = "name: demo\nrounds: 5\nevaluation: {every: 0}\nenv: drone_navigation\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "demo.yaml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def qmarl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["qmarl", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


COMMANDS = ["train", "resume", "evaluate", "report", "envs", "doctor", "config"]
CONFIG_COMMANDS = ["show", "check", "schema", "init"]


def test_help_lists_every_command(qmarl: Any) -> None:
    code, out, _ = qmarl("--help")
    assert code == 0
    assert all(command in out for command in COMMANDS)
    code, out, _ = qmarl("config", "--help")
    assert code == 0
    assert all(command in out for command in CONFIG_COMMANDS)


@pytest.mark.parametrize(
    "command", [*([name] for name in COMMANDS), *(["config", name] for name in CONFIG_COMMANDS)]
)
def test_every_command_explains_itself(qmarl: Any, command: list[str]) -> None:
    code, out, _ = qmarl(*command, "--help")
    assert code == 0
    assert f"qmarl {' '.join(command)}" in out


def test_version(qmarl: Any) -> None:
    assert qmarl("--version") == (0, f"qmarl {__version__}\n", "")


@pytest.mark.parametrize("arguments", [["trian"], ["train"], ["train", "x.yaml", "--fast"]])
def test_usage_errors_end_with_2(qmarl: Any, arguments: list[str]) -> None:
    code, out, err = qmarl(*arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in err


def test_check_says_fine_or_lists_all_problems(qmarl: Any, config: Path) -> None:
    code, out, _ = qmarl("config", "check", config)
    assert (code, out) == (0, f"{config}: fine ('demo', 5 rounds)\n")
    code, out, err = qmarl("config", "check", config, "rouns=3", "seed=x")
    assert (code, out) == (2, "")
    assert err.startswith("error: 2 problems in the configuration\n  override 'seed=x': seed: ")
    assert "did you mean 'rounds'?" in err


def test_show_prints_what_loads_again(qmarl: Any, config: Path, tmp_path: Path) -> None:
    code, out, _ = qmarl("config", "show", config, "seed=7", "preset=debug")
    assert code == 0
    (tmp_path / "shown.yaml").write_text(out)
    assert qmarl("config", "show", tmp_path / "shown.yaml") == (0, out, "")
    assert "seed: 7\nrounds: 2\n" in out


def test_schema_is_json_that_knows_the_presets(qmarl: Any) -> None:
    code, out, _ = qmarl("config", "schema")
    assert code == 0
    assert "debug" in json.loads(out)["properties"]["presets"]["anyOf"][0]["enum"]


def test_init_writes_a_file_that_checks_and_never_overwrites(qmarl: Any, tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    assert qmarl("config", "init", path)[0] == 0
    assert qmarl("config", "check", path)[0] == 0
    code, _, err = qmarl("config", "init", path)
    assert (code, err) == (2, f"error: {path} exists already; name another file\n")
    code, _, err = qmarl("config", "init", tmp_path / "none" / "x.yaml")
    assert code == 2
    assert "cannot be written" in err


def test_envs(qmarl: Any) -> None:
    code, out, _ = qmarl("envs")
    assert code == 0
    assert "drone_navigation" in out
    assert "drone_navigation" in json.loads(qmarl("envs", "--json")[1])


def test_errors_end_in_one_sentence_and_their_code(
    qmarl: Any, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainers import runs
    from trainers.interrupt import RunInterruptedError

    for error, code in [
        (RunError("the disk is full"), 4),
        (UnreachableError("nobody answers"), 3),
        (RunInterruptedError(signal.SIGINT), 130),
        (RunInterruptedError(signal.SIGTERM), 143),
    ]:
        monkeypatch.setattr(runs, "train", _raiser(error))
        assert qmarl("train", config) == (code, "", f"error: {error}\n")
        assert "Traceback" in qmarl("--debug", "train", config)[2]


def test_a_defect_keeps_its_traceback(
    qmarl: Any, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainers import runs

    monkeypatch.setattr(runs, "train", _raiser(ZeroDivisionError("oops")))
    code, _, err = qmarl("train", config)
    assert code == 4
    assert "ZeroDivisionError: oops" in err
    assert err.endswith("error: this is a defect of qmarl; please report the text above\n")


def test_train_hands_over_and_says_where_the_report_is(
    qmarl: Any, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainers import report, runs

    seen: dict[str, Any] = {}

    def train(experiment: Any, *, source: str, console: Any, origin: Any) -> Path:
        seen.update(seed=experiment.seed, source=source, origin=origin)
        console.start(experiment.rounds, {})
        return Path("runs/demo/1")

    monkeypatch.setattr(runs, "train", train)
    monkeypatch.setattr(report, "write_report", lambda run, _: run / "report.html")
    code, out, err = qmarl("train", config, "seed=9")
    assert (code, out) == (0, "")
    assert "report: runs/demo/1/report.html" in err
    assert seen == {"seed": 9, "source": GOOD, "origin": None}
    _, out, err = qmarl("train", config, "--json", "--from", "runs/first/latest")
    assert seen["origin"] == Path("runs/first/latest")
    assert err == ""
    assert json.loads(out.splitlines()[-1])["report"] == "runs/demo/1/report.html"


def test_evaluate_prints_one_json_object(qmarl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainers import runs

    asked: dict[str, Any] = {}

    def evaluate(run: Path, **options: Any) -> dict[str, Any]:
        asked.update(options, run=run)
        return {"success": {"mean": 0.9, "low": 0.8, "high": 1.0}}

    monkeypatch.setattr(runs, "evaluate", evaluate)
    code, out, _ = qmarl("evaluate", "runs/x", "--json", "--episodes", 7, "--stochastic", "a.b=1")
    assert (code, json.loads(out)["success"]["mean"]) == (0, 0.9)
    assert asked == {
        "run": Path("runs/x"),
        "episodes": 7,
        "seed": 0,
        "greedy": False,
        "overrides": ["a.b=1"],
        "gif": False,
        "keep_flights": False,
    }
    assert "95 % interval 0.800 to 1.000" in qmarl("evaluate", "runs/x")[1]


HEAVY = ["torch", "pennylane", "ray", "matplotlib", "scipy", "tensorboard", "gymnasium"]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["config", "--help"], ["config", "check", "FILE"], ["envs"]]
)
def test_light_commands_import_nothing_heavy(arguments: list[str], config: Path) -> None:
    line = [str(config) if word == "FILE" else word for word in arguments]
    code = f"""
import sys
sys.argv = ["qmarl", *{line!r}]
from trainers.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
loaded = sorted(set({HEAVY!r}) & set(sys.modules))
assert not loaded, loaded
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _raiser(error: Exception) -> Any:
    def train(*_: object, **__: object) -> Path:
        raise error

    return train
