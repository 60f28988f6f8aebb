from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from qmarl.errors import RunError
from qmarl.yaml_source import Origin, read_text
from trainers.report import write_report

Make = Callable[..., Path]
SECTIONS = ("team", "curves", "parameters", "circuit", "communication", "time", "reproduce")


class Page(HTMLParser):
    """Collects what tests ask about: tags, ids, attributes, and the text of each section."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: dict[str, str] = {"": ""}
        self._section, self._style = "", False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        name = dict(attrs).get("id")
        if tag == "section" and name:
            self.ids.append(name)
            self._section = name
            self.text[name] = ""
        self._style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._style = self._style and tag != "style"

    def handle_data(self, data: str) -> None:
        if not self._style:
            plain = re.sub(r"[ \n]+", " ", f"{self.text[self._section]} {data}")
            self.text[self._section] = plain  # narrow spaces stay as they are

    @property
    def everything(self) -> str:
        return " ".join(self.text.values())


def page_of(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def change(run: Path, name: str, update: dict[str, object]) -> None:
    data = json.loads((run / name).read_text())
    (run / name).write_text(json.dumps(data | update))


def with_scores(run: Path, **scores: tuple[float, float, float]) -> Path:
    names = ("mean", "low", "high")
    update = {name: dict(zip(names, values, strict=True)) for name, values in scores.items()}
    change(run, "eval/seed1000-episodes200-greedy.json", dict(update))
    return run


def test_the_report_stands_in_the_run_with_all_its_sections_in_order(make_run: Make) -> None:
    run = make_run()
    path = write_report(run)
    assert path == run / "report.html"
    assert page_of(path).ids == [*SECTIONS, "limits"]
    assert not list(run.glob("*.tmp"))


def test_the_headline_says_what_was_trained_and_how_well_it_does(make_run: Make) -> None:
    head = page_of(write_report(make_run())).text[""]
    assert "3 drones, each with its own quantum circuit of 185 parameters on 4 qubits" in head
    assert "On 200 held-out episodes" in head
    assert "96.0\u202f% (95\u202f% interval 93.0 to 98.5\u202f%)" in head
    assert "1.5\u202f% (95\u202f% interval 0.0 to 3.5\u202f%)" in head
    assert "finished, 100 of 100 rounds" in head
    assert "640\u202fk" in head  # env-steps
    assert "1.02\u202fMB" in head  # 100 rounds of 5000 up and 5200 down


def test_parameters_stand_by_role_beside_the_twin(make_run: Make) -> None:
    text = page_of(write_report(make_run())).text["parameters"]
    for part in ("circuit angles 60", "input scalings 48", "readout weights 77", "185", "187"):
        assert part in text
    assert "1.1\u202f%" in text
    assert "555 parameters" in text


def test_the_circuit_is_drawn_as_it_is_with_its_path_and_why(make_run: Make) -> None:
    run = make_run()
    described = json.loads((run / "model.json").read_text())["all"]["circuit"]
    path = write_report(run)
    assert described["drawing"] in path.read_text(encoding="utf-8").replace("&gt;", ">").replace(
        "&lt;", "<"
    )
    text = page_of(path).text["circuit"]
    assert "program" in text
    assert "RZ 52, RY 36, CZ 16, RX 20" in text
    assert described["reason"] in text


def test_communication_and_time_add_up(make_run: Make) -> None:
    page = page_of(write_report(make_run()))
    shared, time = page.text["communication"], page.text["time"]
    assert "joined by fedadam" in shared
    assert "What travels actor.*" in shared
    assert "5.00\u202fkB a round, 500\u202fkB in all" in shared
    assert "5.20\u202fkB a round, 520\u202fkB in all" in shared
    assert "3 clients in a round" in shared
    assert "collecting 30.0\u202fs" in time
    assert "learning 1\u202fmin 00\u202fs" in time
    assert "federating 1.0\u202fs" in time
    assert "evaluating and the rest 1.3\u202fs" in time


def test_the_commands_and_the_saved_settings_repeat_the_run(make_run: Make) -> None:
    run = make_run()
    path = write_report(run)
    text = page_of(path).text["reproduce"]
    assert "git checkout 0123456789abcdef0123456789abcdef01234567" in text
    assert "qmarl train config.yaml" in text
    assert "qmarl evaluate runs/quickstart/latest --episodes 200 --seed 1000" in text
    assert "The seed is 7." in text
    assert "2.13.0" in text
    saved = re.search(r'href="data:text/yaml;base64,([^"]+)"', path.read_text(encoding="utf-8"))
    assert saved is not None
    settings = read_text(base64.b64decode(saved[1]).decode(), Origin("report"), []).plain()
    assert settings == json.loads((run / "config.resolved.json").read_text())


def test_evaluations_under_other_settings_never_speak_for_the_run(make_run: Make) -> None:
    run = make_run()
    scores = json.loads((run / "eval/seed1000-episodes200-greedy.json").read_text())
    best = {"mean": 1.0, "low": 1.0, "high": 1.0}
    other = scores | {"success": best, "episodes": 999, "overrides": ["env.drones=1"]}
    (run / "eval/easy.json").write_text(json.dumps(other))
    page = page_of(write_report(run))
    assert "On 200 held-out episodes" in page.text[""]
    assert "env.drones=1" in page.text["curves"]


def test_an_old_evaluation_gives_way_to_a_later_one(make_run: Make) -> None:
    run = make_run()
    change(run, "eval/seed1000-episodes200-greedy.json", {"round": 50, "episodes": 1000})
    head = page_of(write_report(run)).text[""]
    assert "On 64 held-out episodes all arrive unharmed in 94.6\u202f%" in head  # of the log


def test_overlapping_intervals_show_no_difference(make_run: Make) -> None:
    quantum = make_run()
    classical = with_scores(make_run("classical", kind="mlp"), success=(0.94, 0.91, 0.97))
    page = page_of(write_report(quantum, [classical]))
    assert "Success intervals overlap: no difference shown" in page.text["comparison"]
    assert "advantage" not in page.everything.lower()


def test_intervals_that_touch_overlap(make_run: Make) -> None:
    classical = with_scores(make_run("classical", kind="mlp"), success=(0.9, 0.87, 0.93))
    page = page_of(write_report(make_run(), [classical]))
    assert "Success intervals overlap" in page.text["comparison"]


def test_only_intervals_apart_speak_of_an_advantage(make_run: Make) -> None:
    classical = make_run("classical", kind="mlp")
    with_scores(classical, success=(0.8, 0.75, 0.85), collision=(0.01, 0.0, 0.025))
    quantum = with_scores(make_run(), collision=(0.1, 0.07, 0.14))
    text = page_of(write_report(quantum, [classical])).text["comparison"]
    better = "advantage quantum circuit (185 parameters) (96.0\u202f% against 80.0\u202f%)"
    assert f"intervals do not overlap: {better}" in text
    fewer = "advantage classical network (187 parameters) (1.0\u202f% against 10.0\u202f%)"
    assert f"intervals do not overlap: {fewer}" in text


def test_few_episodes_that_all_end_alike_show_no_difference(make_run: Make) -> None:
    quantum, classical = make_run(), make_run("classical", kind="mlp")
    with_scores(quantum, success=(0.0, 0.0, 0.0))  # as the bootstrap has it
    with_scores(classical, success=(0.2, 0.05, 0.4))
    name = "eval/seed1000-episodes200-greedy.json"
    change(quantum, name, {"episodes": 20})
    change(classical, name, {"episodes": 20})
    for run in (quantum, classical):
        lines = (run / "metrics.jsonl").read_text().splitlines()[:99]  # without its own evaluation
        (run / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    page = page_of(write_report(quantum, [classical]))
    assert "widened to Wilson's: no difference shown" in page.text["comparison"]
    assert "advantage" not in page.everything.lower()
    change(quantum, name, {"episodes": 2000})
    change(classical, name, {"episodes": 2000})
    assert "advantage classical" in page_of(write_report(quantum, [classical])).everything


def test_the_evaluation_that_ended_the_training_speaks_before_its_equals(make_run: Make) -> None:
    run = make_run()
    scores = json.loads((run / "eval/seed1000-episodes200-greedy.json").read_text())
    luck = {"mean": 1.0, "low": 1.0, "high": 1.0}
    (run / "eval/final.json").write_text(json.dumps(scores))
    (run / "eval/seed5-episodes200-greedy.json").write_text(json.dumps(scores | {"success": luck}))
    assert "96.0\u202f%" in page_of(write_report(run)).text[""]
    many = scores | {"success": luck, "episodes": 500}
    (run / "eval/seed5-episodes500-greedy.json").write_text(json.dumps(many))
    assert "On 500 held-out episodes" in page_of(write_report(run)).text[""]


def test_runs_side_by_side_are_named_drawn_and_told_apart(make_run: Make) -> None:
    quantum, classical = make_run(), make_run("classical", kind="mlp", speed=2.0)
    page = page_of(write_report(quantum, [classical]))
    assert (
        "quantum circuit (185 parameters) classical network (187 parameters)" in page.text["curves"]
    )
    assert all(title in page.text["curves"] for title in ("Success", "Collision", "Return"))
    for tone in ("tone-0", "tone-1"):
        assert page.attributes.count(("class", tone)) > 8  # lines and dots of four charts
    assert "actor.kind vqc mlp" in page.text["comparison"]
    assert "Each run is one seed" in page.text["limits"]


def test_who_learned_sooner_is_said(make_run: Make) -> None:
    classical = make_run("classical", kind="mlp", speed=2.0)
    text = page_of(write_report(make_run(), [classical])).text["comparison"]
    pattern = r"the (\w+ \w+) \(\d+ parameters\) needed .* (\d\.\d) times as many"
    found = re.search(pattern, text)
    assert found is not None
    assert found[1] == "classical network"
    assert 1.7 < float(found[2]) < 2.6  # its curve rises twice as fast


def test_runs_in_different_worlds_are_not_held_against_each_other(make_run: Make) -> None:
    other = with_scores(make_run("classical", kind="mlp"), success=(0.5, 0.45, 0.55))
    settings = json.loads((other / "config.resolved.json").read_text())
    settings["env"]["drones"] = 4
    (other / "config.resolved.json").write_text(json.dumps(settings))
    page = page_of(write_report(make_run(), [other]))
    assert "The worlds differ (env.drones: 3 and 4)" in page.text["comparison"]
    assert "intervals" not in page.text["comparison"]
    assert "advantage" not in page.everything.lower()


def test_unequal_actors_are_named_as_such(make_run: Make) -> None:
    large = make_run("classical", kind="mlp")
    model = json.loads((large / "model.json").read_text())
    model["all"]["actor"]["parameters"] = 5000
    (large / "model.json").write_text(json.dumps(model))
    text = page_of(write_report(make_run(), [large])).text["comparison"]
    assert "The actors are not of one size: 185 parameters against 5,000." in text


def test_seeds_of_one_kind_get_names_of_their_own(make_run: Make) -> None:
    second = make_run("second")
    change(second, "config.resolved.json", {"seed": 8})
    text = page_of(write_report(make_run(), [second])).text["comparison"]
    assert "quantum circuit (185 parameters), seed 7" in text
    assert "quantum circuit (185 parameters), seed 8" in text


def test_a_central_critic_is_owned_up_to(make_run: Make) -> None:
    run = make_run()
    assert "central critic" not in page_of(write_report(run)).text["limits"]
    model = json.loads((run / "model.json").read_text())
    model["all"]["critic"]["kind"] = "central"
    (run / "model.json").write_text(json.dumps(model))
    text = page_of(write_report(run)).text["limits"]
    assert "The central critic saw the joint state" in text
    assert "over episodes, not over seeds" in text
    assert "no noise" in text


def test_nothing_is_loaded_from_anywhere(make_run: Make) -> None:
    page = page_of(write_report(make_run(), [make_run("classical", kind="mlp")]))
    loads = [value for name, value in page.attributes if name in ("src", "href", "srcset")]
    assert loads
    assert all(value.startswith(("data:image/gif;base64,", "data:text/yaml;")) for value in loads)
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(page.tags)
    html = (make_run("third").parent / "quantum" / "report.html").read_text(encoding="utf-8")
    assert "http://" not in html
    assert "https://" not in html
    assert "@import" not in html
    assert "url(" not in html
    assert "default-src 'none'" in html


def test_the_report_imports_neither_torch_nor_pennylane(make_run: Make) -> None:
    code = (
        "import sys; from pathlib import Path; from trainers.report import write_report\n"
        "write_report(Path(sys.argv[1]))\n"
        "print({'torch', 'pennylane', 'ray', 'matplotlib', 'scipy'} & set(sys.modules))"
    )
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", code, str(make_run())]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.stdout.strip() == "set()", done.stderr


def test_a_directory_that_is_no_run_is_refused(tmp_path: Path, make_run: Make) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="not a run directory"):
        write_report(tmp_path / "empty")
    with pytest.raises(RunError, match="no run directory"):
        write_report(make_run(), [tmp_path / "nowhere"])
