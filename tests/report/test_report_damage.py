from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from qmarl.errors import RunError
from trainers import report_data
from trainers.report import write_report

Make = Callable[..., Path]
FILES = (
    "config.resolved.json",
    "env.json",
    "status.json",
    "model.json",
    "metrics.jsonl",
    "media/flight.gif",
    "eval/seed1000-episodes200-greedy.json",
)
PAYLOAD = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}</style></svg>"


class Tags(HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def html_of(run: Path, *others: Path) -> str:
    return write_report(run, others).read_text(encoding="utf-8")


def poisoned(data: Any) -> Any:
    """The same data with the payload in every text and every name."""
    if isinstance(data, dict):
        return {
            **{key: poisoned(value) for key, value in data.items()},
            PAYLOAD: PAYLOAD,
        }
    if isinstance(data, list):
        return [poisoned(value) for value in data]
    return PAYLOAD if isinstance(data, str) else data


def assert_harmless(html: str) -> None:
    tags = Tags(html).found
    assert not {"script", "iframe", "object", "embed"} & {tag for tag, _ in tags}
    assert all(not name.startswith("on") for _, attributes in tags for name in attributes)
    images = [attributes["src"] or "" for tag, attributes in tags if tag == "img"]
    assert all(src.startswith("data:image/gif;base64,") for src in images)
    assert html.count("</style>") == 1
    assert "<script" not in html.lower()


@pytest.mark.parametrize("name", FILES)
def test_any_file_may_be_missing(make_run: Make, name: str) -> None:
    run = make_run()
    (run / name).unlink()
    html = html_of(run)
    assert "What this does not show" in html
    lost = name.split("/")[0] not in ("media", "eval")
    assert (f"{name} is missing" in html) is lost


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"[1, 2", b"[]", b"{}"])
def test_any_file_may_be_damaged(make_run: Make, content: bytes) -> None:
    run = make_run(rounds=25)
    for name in FILES:
        before = (run / name).read_bytes()
        (run / name).write_bytes(content)
        assert "What this does not show" in html_of(run)
        (run / name).write_bytes(before)


def test_all_that_is_left_may_be_one_file(make_run: Make) -> None:
    run = make_run()
    for name in FILES:
        if name != "metrics.jsonl":
            (run / name).unlink()
    html = html_of(run)
    assert "Success" in html
    assert "Not known: model.json does not describe any actor." in html


def test_an_interrupted_run_says_how_far_it_came(make_run: Make) -> None:
    run = make_run(rounds=37)
    (run / "eval/seed1000-episodes200-greedy.json").unlink()
    settings = json.loads((run / "config.resolved.json").read_text()) | {"rounds": 100}
    (run / "config.resolved.json").write_text(json.dumps(settings))
    (run / "status.json").write_text(json.dumps({"state": "interrupted", "round": 37, "time": ""}))
    html = html_of(run)
    assert "interrupted, 37 of 100 rounds" in html
    assert "After 25 rounds, on 64 held-out episodes" in html


def test_a_run_before_its_first_round_has_a_report_too(make_run: Make) -> None:
    run = make_run()
    (run / "metrics.jsonl").write_text("")
    (run / "eval/seed1000-episodes200-greedy.json").unlink()
    html = html_of(run, make_run("other"))
    assert "It has not been evaluated yet." in html
    assert "No round was logged, so there are no curves." not in html  # the other run has some
    assert "metrics.jsonl holds no rounds" in html


def test_damaged_lines_of_the_log_are_counted(make_run: Make) -> None:
    run = make_run()
    lines = (run / "metrics.jsonl").read_text().splitlines()
    lines[3] = lines[3][:40]
    (run / "metrics.jsonl").write_text("\n".join([*lines, '{"round": 100, "env']))
    html = html_of(run)
    assert "metrics.jsonl: 2 damaged or repeated lines are left out" in html


def test_numbers_that_are_none_are_no_numbers(make_run: Make) -> None:
    run = make_run()
    line = {"round": 0, "env_steps": 64, "episode/return": float("nan"), "episode/success": None}
    odd = {"round": 1, "env_steps": 10**400, "episode/return": "7", "episode/length": True}
    (run / "metrics.jsonl").write_text(f"{json.dumps(line)}\n{json.dumps(odd)}\n")
    html = html_of(run)
    assert "nan" not in re.sub(r"base64,[^\"]*", "", html).lower().replace("manage", "")


def test_strangers_cannot_put_markup_into_the_page(make_run: Make) -> None:
    run = make_run()
    for name in FILES:
        if name.endswith(".json"):
            data = poisoned(json.loads((run / name).read_text()))
            (run / name).write_text(json.dumps(data))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        group = PAYLOAD.replace("/", "")
        line |= {f"learn/{group}/entropy": 1.0, f"federation/{group}/bytes_up": 10}
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (run / "media/flight.gif").write_bytes(b'GIF89a"><script>alert(1)</script>')
    (run / "eval" / "<b onclick=x>.json").write_text(
        json.dumps(json.loads((run / "eval/seed1000-episodes200-greedy.json").read_text()))
    )
    html = html_of(run, make_run("other", kind="mlp"))
    assert_harmless(html)
    assert "&lt;script&gt;" in html
    assert "{{ 7 * 7 }}" in html  # shown, not evaluated
    assert "<b onclick" not in html


def test_commands_to_copy_hold_nothing_of_a_stranger(make_run: Make) -> None:
    run = make_run()
    for name, update in (
        ("env.json", {"git": {"commit": "abc1234; rm -rf ~", "changed": False}}),
        ("config.resolved.json", {"name": "x; rm -rf ~"}),
        ("eval/seed1000-episodes200-greedy.json", {"policy": "; rm -rf ~", "seed": 3.5}),
    ):
        data = json.loads((run / name).read_text()) | update
        (run / name).write_text(json.dumps(data))
    commands = re.search(r"<pre[^>]*>(qmarl train.*?)</pre>", html_of(run), re.DOTALL)
    assert commands is not None
    assert commands[1] == ("qmarl train config.yaml\nqmarl evaluate RUN --episodes 200 --seed 3")


def test_what_is_no_gif_is_not_shown(make_run: Make) -> None:
    run = make_run()
    (run / "media/flight.gif").write_bytes(b"<svg onload=alert(1)>")
    html = html_of(run)
    assert "<img" not in html
    assert "media/flight.gif is not a GIF" in html


def test_text_that_no_encoding_knows_is_replaced(make_run: Make) -> None:
    run = make_run()
    settings = json.loads((run / "config.resolved.json").read_text())
    settings["name"] = "a\ud800b\u202ec\u0007"
    (run / "config.resolved.json").write_text(json.dumps(settings))
    assert "<h1>a?bc</h1>" in html_of(run)


def test_deep_and_large_files_are_left_out(make_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    (run / "env.json").write_text('{"a":' * 200 + "1" + "}" * 200)
    (run / "model.json").write_text("[" * 100_000)
    html = html_of(run)
    assert "env.json is nested more than 40 levels deep" in html
    assert "model.json is damaged" in html
    monkeypatch.setattr(report_data, "MAX_BYTES", 3000)
    assert "metrics.jsonl is larger than" in html_of(run)


def test_a_report_that_cannot_be_written_is_one_sentence(make_run: Make) -> None:
    run = make_run()
    (run / "report.html").mkdir()
    with pytest.raises(RunError, match=r"report\.html"):
        write_report(run)


def test_worlds_without_success_are_judged_by_their_return(make_run: Make) -> None:
    run = make_run()
    path = run / "eval/seed1000-episodes200-greedy.json"
    scores = json.loads(path.read_text())
    for name in ("success", "collision", "time_to_goal"):
        del scores[name]
    path.write_text(json.dumps(scores))
    settings = json.loads((run / "config.resolved.json").read_text())
    settings["env"] = {"id": "mpe2.simple_spread_v3:parallel_env"}
    (run / "config.resolved.json").write_text(json.dumps(settings))
    html = html_of(run)
    assert "3 agents, each with its own quantum circuit" in html
    assert "the mean return is 12.34 (95\u202f% interval 11.90 to 12.80)" in html
    assert "point masses" not in html
