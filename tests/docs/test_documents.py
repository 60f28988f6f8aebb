"""The documents are true: examples run, commands are understood, links lead somewhere."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainers.build import build
from trainers.config import load_experiment

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
TINY = ["preset=debug", "rounds=2", "env.num_envs=4", "evaluation.final_episodes=4"]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def inside(directory: Path) -> Iterator[Path]:
    """Goes to an empty directory that has nothing of the checkout but its configurations."""
    before = Path.cwd()
    (directory / "configs").symlink_to(ROOT / "configs")
    os.chdir(directory)
    yield directory
    os.chdir(before)


@pytest.fixture(scope="module")
def readme_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Runs the README's example and gives the run directory that it made."""
    for here in inside(tmp_path_factory.mktemp("readme")):
        (example,) = blocks(ROOT / "README.md", "python")
        exec(compile(example, "README.md", "exec"), {})
        yield here / "runs" / "quickstart" / "latest"


def test_the_readmes_example_trains_and_evaluates(
    readme_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert json.loads((readme_run / "status.json").read_text())["state"] == "finished"
    assert (readme_run / "eval" / "seed1-episodes20-greedy.json").is_file()


def test_the_glossary_lists_exactly_what_a_run_logs(readme_run: Path) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text().partition("## Files in")[0]
    cells = re.findall(r"^\| (`[^|]*) \|", page, re.MULTILINE)
    names = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    documented = {name.replace("<group>", "all") for name in names if "<outcome>" not in name}
    lines = (readme_run / "metrics.jsonl").read_text().splitlines()
    assert {key for line in lines for key in json.loads(line)} == documented


def test_the_glossary_lists_exactly_what_an_evaluation_writes(readme_run: Path) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text().partition("## Files in")[2]
    documented = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    scores = json.loads((readme_run / "eval" / "final.json").read_text())
    assert {key for key, value in scores.items() if not isinstance(value, dict)} == documented


def test_a_run_directory_is_as_the_architecture_draws_it(readme_run: Path) -> None:
    (drawing,) = [
        text for text in blocks(ROOT / "docs" / "architecture.md", "") if "run.lock" in text
    ]
    names = [re.split(r" {2,}", line.strip())[0] for line in drawing.splitlines()[1:-1]]
    wanted = {name.strip() for cell in names for name in cell.rstrip("/").split(",")}
    from trainers.report import write_report

    write_report(readme_run, [])
    found = {path.name for path in readme_run.iterdir()} | {"media/flight.gif"}
    events = {name for name in found if name.startswith("events.out.tfevents.")}
    assert wanted == (found - events - {"media"}) | {"events.out.tfevents.*"}
    assert (readme_run / "media" / "flight.gif").is_file()


def test_a_resolved_configuration_trains_again(readme_run: Path) -> None:
    again = load_experiment(readme_run / "config.resolved.json")
    assert again == load_experiment(ROOT / "configs/quickstart.yaml", ["preset=debug", "rounds=3"])


COMMANDS = [
    shlex.split(line, comments=True)
    for page in PAGES
    for block in blocks(page, "bash")
    for line in block.splitlines()
    if re.match(r"(\.venv/bin/)?qmarl train configs", line)
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_shown_training_commands_are_understood(command: list[str]) -> None:
    load_experiment(ROOT / command[2], command[3:])


def test_the_foreign_world_of_the_guide_fits_its_circuit(tmp_path: Path) -> None:
    spread, teams = blocks(ROOT / "docs" / "writing_a_world.md", "yaml")
    path = tmp_path / "spread.yaml"
    path.write_text(spread)
    assert build(load_experiment(path)).groups["all"].shape == (18, 5)
    path.write_text(
        spread.replace("simple_spread_v3", "simple_tag_v3").replace("N: 3, ", "") + teams
    )
    parts = build(load_experiment(path, ["actor.kind=mlp", "actor.hidden=[4]"]))
    assert {name: len(group.agents) for name, group in parts.groups.items()} == {
        "hunters": 3,
        "prey": 1,
    }


def test_the_first_example_sets_both_actors_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "examples" / "01_quickstart.py"))["main"](TINY)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["vqc", "mlp", "report:"]
    assert Path(lines[-1].removeprefix("report: ")).is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)", page.read_text())
    local = [target for target in targets if "://" not in target]
    assert not [target for target in local if not (page.parent / target).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page: Path) -> None:
    pattern = r"`((?:qmarl|envs|agents|trainers|tests|configs|docs|examples|benchmarks)/[\w./-]+)`"
    named = re.findall(pattern, page.read_text())
    assert not [name for name in named if not (ROOT / name).exists()]
