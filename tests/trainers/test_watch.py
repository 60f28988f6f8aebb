"""A run seen from outside while it trains: in lines, on a terminal, and when it ends."""

import io
import json
import os
import re
import time

import pytest
from live_runs import append, fill, line, put_state
from typer.testing import CliRunner

from qmarl.errors import RunError
from trainers import live
from trainers.cli import app
from trainers.live import Watcher
from trainers.rundir import RunDirectory
from trainers.watch import ending, sparkline, view, watch
from trainers.watch import line as shown


@pytest.fixture
def run(tmp_path):
    return fill(tmp_path / "run")


def grow_old(run):
    past = time.time() - 10 * live.QUIET_S
    for path in [*run.glob("*.json*"), *run.glob("*/*")]:
        os.utime(path, (past, past))


def screen(run, width=100):
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(view(Watcher(run).look(), width))
    return console.file.getvalue()


def test_a_line_says_where_the_run_is_and_when_it_will_end(run):
    look = Watcher(run).look()
    assert shown(look) == (
        "round 4/10  return 3.00  success 0.30  collision 0.25  env-steps/s 50  refused 1"
        "  0:12 left"
    )
    assert look.left == pytest.approx(12.0)


def test_the_live_view_shows_curves_clients_and_times(run):
    text = screen(run)
    assert "patrol  running" in text
    assert re.search(r"success +▁▂▂▃ +0.30", text)
    assert re.search(r"return +▁▃▆█ +3.00", text)
    cells = [re.split(r" *│ *", row)[1:8] for row in text.splitlines() if "│" in row]
    assert cells == [
        ["alice", "4", "4", "0", "0", "0", "■■■■"],
        ["bob", "4", "0", "0", "4", "0", "▲▲▲▲"],
        ["carol", "4", "4", "4", "0", "0", "■■■■"],
    ]
    assert re.search(r"circuits +■+ +50 %", text)
    assert re.search(r"worlds +■+ +25 %", text)


def test_plain_lines_follow_the_run_to_its_end(run):
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        append(run, 3 + len(naps))
        if len(naps) == 2:
            put_state(run, "finished", 6, "the privacy budget is spent")

    out = io.StringIO()
    assert watch(Watcher(run), out, sleep=sleep) == "finished"
    lines = out.getvalue().splitlines()
    assert [text[:10] for text in lines[1:4]] == ["round 4/10", "round 5/10", "round 6/10"]
    assert "left" not in lines[3]
    assert lines[4] == "the run is finished: the privacy budget is spent"


def test_a_terminal_follows_the_run_to_its_end(run):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def sleep(seconds):
        append(run, 4)
        put_state(run, "interrupted", 5)

    out = Terminal()
    assert watch(Watcher(run), out, sleep=sleep) == "interrupted"
    assert "round 5/10" in out.getvalue()
    assert "`qmarl resume` goes on with it" in out.getvalue()


def test_a_run_whose_process_is_gone_is_called_killed(run):
    watcher = Watcher(run)
    assert watcher.look().state == "running"
    grow_old(run)
    assert watcher.look().state == "killed"
    assert "process is gone" in ending(watcher.look())


def test_a_quiet_run_that_is_locked_goes_on(run):
    with RunDirectory.open(run).locked():
        grow_old(run)
        assert Watcher(run).look().state == "running"
    assert Watcher(run).look().state == "killed"


def test_nothing_is_read_again_while_nothing_changes(run, monkeypatch):
    reads = []
    monkeypatch.setattr(live, "read", lambda path: reads.append(path) or original(path))
    watcher = Watcher(run)
    watcher.look()
    watcher.look()
    assert len(reads) == 1
    append(run, 4)
    assert watcher.look().done == 5
    assert len(reads) == 2


original = live.read


def test_what_a_stranger_wrote_does_not_move_the_terminal(run):
    put_state(run, "\x1b[2Jgone\udc80", 4)
    with (run / "federation.jsonl").open("a") as file:
        evil = {"asked": ["\x1b]0;owned\x07[red]x"], "participants": []}
        file.write(json.dumps({"round": 4, "groups": {"\x1b[31mall": evil}}) + "\n")
    text = screen(run)
    assert "\x1b" not in text
    assert "[2Jgone?" in text
    assert "]0;owned[red]x" in text
    text.encode()


def test_links_and_giants_are_refused(run, tmp_path, monkeypatch):
    monkeypatch.setattr(live, "MOST_BYTES", 100)
    with pytest.raises(RunError, match="too large"):
        Watcher(run)
    (tmp_path / "treasure").write_text(json.dumps(line(0)))
    (run / "links.jsonl").symlink_to(tmp_path / "treasure")
    with pytest.raises(RunError, match="is a link"):
        Watcher(run)


def test_a_run_without_rounds_is_shown(tmp_path):
    run = fill(tmp_path / "new", done=0)
    assert shown(Watcher(run).look()).startswith("round 0/10  return -")
    assert "round 0/10" in screen(run)


def test_sparklines_stay_in_their_room():
    assert sparkline([], 10, 0, 1) == ""
    assert sparkline([5.0] * 100, 10, 5, 5) == "▁" * 10
    assert sparkline([-9.0, 9.0], 10, 0, 1) == "▁█"


def test_the_command_looks_once(run):
    done = CliRunner().invoke(app, ["watch", str(run), "--once"])
    assert done.exit_code == 0
    assert "round 4/10" in done.output
    told = CliRunner().invoke(app, ["watch", str(run), "--json"])
    assert json.loads(told.output)["round"] == 4
    assert json.loads(told.output)["state"] == "running"


def test_the_command_ends_with_the_run(run):
    put_state(run, "failed", 4)
    done = CliRunner().invoke(app, ["watch", str(run)])
    assert (done.exit_code, done.output.splitlines()[-1][:14]) == (4, "the run failed")
