from __future__ import annotations

import errno
import getpass
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qmarl.config import Section
from qmarl.errors import ConfigurationError, RunError
from trainers.logger import LoggingConfig
from trainers.rundir import RunDirectory

SOURCE = "name: quick # mine\nseed: 7\n"
NOON = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)


class Small(Section):
    """As much of an experiment as a run directory looks at."""

    name: str = "quick"
    seed: int = 7
    logging: LoggingConfig = LoggingConfig()


def small(root: Path, name: str = "quick", seed: int = 7) -> Small:
    return Small(name=name, seed=seed, logging=LoggingConfig(directory=str(root)))


def make(root: Path, seed: int = 7) -> RunDirectory:
    return RunDirectory.create(small(root, seed=seed), SOURCE, NOON)


def test_a_new_run_says_what_it_is(tmp_path: Path) -> None:
    run = make(tmp_path)
    assert run.path.parent == tmp_path / "quick"
    assert run.path.name.startswith("20260504-120000-")
    assert (run.path / "config.yaml").read_text() == SOURCE
    assert run.config(Small) == small(tmp_path)
    assert (run.status.state, run.status.round) == ("running", 0)
    assert all(path.is_dir() for path in (run.checkpoints, run.evaluations, run.media))
    assert sorted(path.name for path in run.path.iterdir()) == [
        "checkpoints",
        "config.resolved.json",
        "config.yaml",
        "env.json",
        "eval",
        "media",
        "status.json",
    ]


def test_the_environment_names_versions_but_neither_host_nor_user(tmp_path: Path) -> None:
    text = (make(tmp_path).path / "env.json").read_text()
    environment = json.loads(text)
    assert environment["seed"] == 7
    assert environment["python"] == ".".join(map(str, sys.version_info[:3]))
    assert environment["packages"]["numpy"] == sys.modules["numpy"].__version__
    assert set(environment["packages"]) >= {"torch", "pennylane", "ray"}
    assert str(Path.cwd()) not in text
    assert f'"{socket.gethostname()}"' not in text
    assert f'"{getpass.getuser()}"' not in text


def test_the_hash_follows_the_configuration(tmp_path: Path) -> None:
    names = [make(tmp_path / part, seed).path.name for part, seed in (("a", 1), ("b", 2))]
    assert names[0] != names[1]
    assert len(names[0].rsplit("-", 1)[1]) == 6


def test_two_runs_of_one_second_stand_apart(tmp_path: Path) -> None:
    paths = [make(tmp_path).path for _ in range(3)]
    assert len(set(paths)) == 3
    assert (tmp_path / "quick" / "latest").resolve() == paths[-1].resolve()
    assert not (tmp_path / "quick" / "latest").readlink().is_absolute()


def test_a_run_is_opened_by_its_path_by_latest_or_by_its_name(tmp_path: Path) -> None:
    run = make(tmp_path)
    for path in (run.path, tmp_path / "quick" / "latest", tmp_path / "quick"):
        assert RunDirectory.open(path).path.resolve() == run.path.resolve()
        assert RunDirectory.open(path).path.name == run.path.name


def test_what_is_not_a_run_is_told_so(tmp_path: Path) -> None:
    run = make(tmp_path)
    with pytest.raises(RunError, match=r"not a run directory: expected config\.resolved\.json"):
        RunDirectory.open(tmp_path)
    with pytest.raises(RunError, match=r"there is no run directory .*did you mean '.*quick'"):
        RunDirectory.open(tmp_path / "quik")
    with pytest.raises(RunError, match="there is no run directory"):
        RunDirectory.open(run.path / "config.yaml")
    (run.path / "status.json").unlink()
    with pytest.raises(RunError, match="not a run directory"):
        RunDirectory.open(run.path)


@pytest.mark.parametrize("text", ["", "[]", '{"seed": "x"}', "\x00\xff", "[" * 100_000])
def test_a_damaged_configuration_is_one_sentence(tmp_path: Path, text: str) -> None:
    run = make(tmp_path)
    (run.path / "config.resolved.json").write_text(text)
    with pytest.raises(RunError, match=r"config\.resolved\.json' is damaged"):
        run.config(Small)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"state": "asleep", "round": 1, "time": ""}', '{"state": "running"}',
     '{"state": "running", "round": "x", "time": ""}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_status_is_one_sentence(tmp_path: Path, text: str) -> None:
    run = make(tmp_path)
    (run.path / "status.json").write_text(text)
    with pytest.raises(RunError, match=r"status\.json' is damaged"):
        _ = run.status


def test_the_status_moves(tmp_path: Path) -> None:
    run = make(tmp_path)
    run.set_status("interrupted", 12)
    assert (RunDirectory.open(run.path).status.state, run.status.round) == ("interrupted", 12)
    assert datetime.fromisoformat(run.status.time).tzinfo is not None


def test_the_model_is_described(tmp_path: Path) -> None:
    run = make(tmp_path)
    run.write_model({"parameters": 185})
    assert json.loads(run.model.read_text()) == {"parameters": 185}


def test_a_second_holder_is_refused_by_name(tmp_path: Path) -> None:
    run = make(tmp_path)
    with run.locked():
        with (
            pytest.raises(RunError, match=f"locked by process {os.getpid()}"),
            RunDirectory.open(run.path).locked(),
        ):
            pass
        script = (
            "import sys; from pathlib import Path; from trainers.rundir import RunDirectory\n"
            "with RunDirectory(Path(sys.argv[1])).locked(): pass"
        )
        other = [sys.executable, "-c", script, str(run.path)]
        done = subprocess.run(other, capture_output=True, text=True, check=False)
        assert f"is locked by process {os.getpid()}" in done.stderr
    with run.locked():
        pass


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    run = make(tmp_path)
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from trainers.rundir import RunDirectory\n"
        "with RunDirectory(Path(sys.argv[1])).locked(): os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(run.path)], check=False)
    assert done.returncode == -9
    assert (run.path / "run.lock").read_text().strip().isdigit()
    with run.locked():
        assert (run.path / "run.lock").read_text().strip() == str(os.getpid())


def test_an_error_inside_frees_the_lock(tmp_path: Path) -> None:
    run = make(tmp_path)
    with pytest.raises(KeyError), run.locked():
        raise KeyError
    with run.locked():
        pass


@pytest.mark.parametrize("name", ["", "..", "a/b", "-x", "a b", "x\n"])
def test_names_that_no_directory_should_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="name: must be"):
        RunDirectory.create(small(tmp_path, name), SOURCE)
    assert not list(tmp_path.iterdir())


def broken(code: int) -> Callable[..., None]:
    def call(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return call


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("call", ["mkdir", "fsync", "replace", "symlink"])
def test_a_disk_that_will_not_do_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    (tmp_path / "quick").mkdir()
    monkeypatch.setattr(os, call, broken(code))
    with pytest.raises(RunError, match=os.strerror(code)) as error:
        make(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_the_probe_needs_real_room_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(tmp_path)
    before = sorted(run.path.iterdir())
    run.probe()
    assert sorted(run.path.iterdir()) == before
    monkeypatch.setattr(os, "fsync", broken(errno.EDQUOT))
    with pytest.raises(RunError, match=os.strerror(errno.EDQUOT)):
        run.probe()
    assert sorted(run.path.iterdir()) == before


def test_a_file_that_cannot_be_written_keeps_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(tmp_path)
    run.set_status("running", 5)
    monkeypatch.setattr(os, "fsync", broken(errno.ENOSPC))
    with pytest.raises(RunError, match=r"status\.json"):
        run.set_status("running", 6)
    assert run.status.round == 5


def test_a_file_where_the_runs_should_be(tmp_path: Path) -> None:
    (tmp_path / "quick").write_text("")
    with pytest.raises(RunError, match="File exists"):
        make(tmp_path)
