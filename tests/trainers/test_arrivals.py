"""Fleets that come in later rounds, and records of who came that are followed to the bit."""

import json

import pytest
from test_runs import FLEETS, StopAt, digest

from qmarl import checkpoint
from qmarl.errors import ConfigurationError, RunError
from trainers.arrivals import AsTheyCome, Task
from trainers.interrupt import RunInterruptedError
from trainers.logger import read_metrics
from trainers.participation_log import Attendance, ParticipationLog, read_script
from trainers.progress import SilentProgress
from trainers.rundir import RunDirectory
from trainers.runs import resume

COMING = (
    *FLEETS,
    "actor.kind=mlp",
    "rounds=6",
    "federation.round_arrivals=1",
    "federation.late={kind: discount, max_staleness: 4}",
)
SHARES = {
    "personal": ('federation.share=["actor.b*"]',),
    "joining": (
        "federation.participation={kind: trace, clients: {fleet_1: [[1, 5]]}, late_join: average}",
    ),
}


def came(run):
    script = read_script(run, 6)
    return [dict(script[number].came) for number in range(6)]


def test_one_fleet_ends_a_round_and_the_others_come_later(small, train):
    run = train(small(*COMING))
    assert came(run) == [
        {"fleet_0": 0},
        {"fleet_1": 0},
        {"fleet_2": 0},
        {"fleet_0": 1},
        {"fleet_1": 2},
        {"fleet_2": 3},
    ]
    lines = read_metrics(RunDirectory.open(run))
    assert [line["federation/all/participants"] for line in lines] == [1] * 6
    assert [line["federation/all/staleness"] for line in lines] == [0, 1, 2, 2, 2, 2]
    assert [line["federation/all/asked"] for line in lines] == [3, 1, 1, 1, 1, 1]
    weights = [json.loads(line) for line in (run / "federation.jsonl").read_text().splitlines()]
    assert weights[2]["groups"]["all"]["contributions"][0]["client"] == "fleet_2"


@pytest.mark.parametrize("share", [(), *SHARES.values()], ids=["all", *SHARES])
@pytest.mark.parametrize("rounds", [1, 3])
def test_a_resumed_run_with_late_fleets_ends_with_the_same_bits(
    small, train, share, rounds, tmp_path
):
    config = small(*COMING, *share)
    whole = train(config)
    from trainers.runs import train as start

    with pytest.raises(RunInterruptedError):
        start(config, source="", console=StopAt(rounds))
    interrupted = max((tmp_path / "runs" / "small").glob("2*"), key=lambda p: p.stat().st_mtime_ns)
    resume(interrupted, SilentProgress())
    assert digest(interrupted) == digest(whole)
    assert came(interrupted) == came(whole)


@pytest.mark.parametrize("share", [(), *SHARES.values()], ids=["all", *SHARES])
def test_a_record_is_followed_to_the_same_bits(small, train, share):
    run = train(small(*COMING, *share))
    again = train(small(*COMING, *share, f"federation.replay={run}"))
    assert digest(again) == digest(run)
    assert came(again) == came(run)


def test_a_record_of_missing_fleets_is_followed(small, train, tmp_path):
    path = tmp_path / "participation.jsonl"
    lines = [
        {"round": 0, "came": {"fleet_0": 0, "fleet_2": 0}, "missed": ["fleet_1"]},
        {"round": 1, "came": {"fleet_0": 1, "fleet_1": 1, "fleet_2": 1}, "missed": []},
        {"round": 2, "came": {"fleet_1": 2}, "missed": ["fleet_0", "fleet_2"]},
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    run = train(small(*FLEETS, "actor.kind=mlp", f"federation.replay={path}"))
    told = [json.loads(line) for line in (run / "federation.jsonl").read_text().splitlines()]
    assert [each["groups"]["all"]["missing"] for each in told] == [
        ["fleet_1"],
        [],
        ["fleet_0", "fleet_2"],
    ]


def test_nobodys_work_gets_older_than_the_bound(small, train):
    run = train(small(*COMING, "federation.late={kind: discount, max_staleness: 1}"))
    ages = [number - began for number, all_of in enumerate(came(run)) for began in all_of.values()]
    assert max(ages) == 1
    assert not any("rejected" in line and line["rejected"] for line in told_of(run))


def told_of(run):
    lines = [json.loads(line) for line in (run / "federation.jsonl").read_text().splitlines()]
    return [line["groups"]["all"] for line in lines]


def test_what_is_under_way_is_in_the_checkpoint(small, train, tmp_path):
    from trainers.runs import train as start

    with pytest.raises(RunInterruptedError):
        start(small(*COMING), source="", console=StopAt(3))
    (run,) = (tmp_path / "runs" / "small").glob("2*")
    names = checkpoint.load(run / "checkpoints").arrays["server.all"]
    assert {name.split("/")[2] for name in names if name.startswith("at_work/0/")} == {"fleet_2"}


class Slow:
    """Has nothing ready but what it is told of, and notes what it is asked."""

    def __init__(self, ready=()):
        self.ready, self.waits, self.dropped = set(ready), [], []

    def begin(self, function, job):
        return job[0]

    def finished(self, tickets, enough, seconds):
        self.waits.append((tuple(tickets), enough, seconds is None))
        return {ticket: ticket.upper() for ticket in tickets if ticket in self.ready}

    def give_up(self, tickets):
        self.dropped += tickets

    def overheads(self):
        return {}


def test_at_the_end_of_a_rounds_time_only_the_oldest_are_given_up():
    executor = Slow(ready={"c"})
    arrivals = AsTheyCome(executor, None, 5.0, oldest=2)
    tasks = {"a": Task(0, "a"), "b": Task(1, "b"), "c": Task(2, "c")}
    arrived = arrivals.play(tasks, 2, last=False)
    assert arrived.results == {"c": "C"}
    assert (arrived.missed, executor.dropped) == ({"a"}, ["a"])
    assert executor.waits == [(("a",), 1, False), (("a", "b", "c"), 3, False)]


def test_in_the_last_round_nobody_is_left_at_work():
    executor = Slow(ready={"a"})
    arrivals = AsTheyCome(executor, 1, None, oldest=5)
    tasks = {"a": Task(3, "a"), "b": Task(3, "b")}
    arrived = arrivals.play(tasks, 3, last=True)
    assert (arrived.missed, executor.dropped) == ({"b"}, ["b"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "has no round 0"),
        ('{"round": 0, "came": {}, "missed": []}\n', "has no round 1, and the run has 3"),
        ('{"round": 0, "came": 3, "missed": []}\n', "is damaged"),
    ],
)
def test_a_record_that_does_not_do_is_refused(tmp_path, content, words):
    path = tmp_path / "participation.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=words):
        read_script(path, 3)


def test_a_record_of_another_run_is_told(small, train, tmp_path):
    path = tmp_path / "participation.jsonl"
    path.write_text('{"round": 0, "came": {"fleet_9": 0}, "missed": []}\n')
    with pytest.raises(RunError, match="in round 0 'fleet_9' brings work of round 0, which it"):
        train(small(*FLEETS, "rounds=1", "evaluation.every=1", f"federation.replay={path}"))


def test_every_round_stands_in_the_record_once(small, tmp_path):
    run = RunDirectory.create(small(), "")
    log = ParticipationLog(run)
    for number in range(3):
        log.append(number, Attendance({"fleet_0": number}, ()))
    ParticipationLog(run, 1).append(1, Attendance({}, {"fleet_0"}))
    script = read_script(run.path, 2)
    assert script == {0: Attendance({"fleet_0": 0}, ()), 1: Attendance({}, ("fleet_0",))}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("federation.round_arrivals=1",), "belongs to 'client: fleet'"),
        (("federation.replay=runs/x",), "belongs to 'client: fleet'"),
        ((*FLEETS, "federation.round_arrivals=1"), "add 'late: discount'"),
    ],
)
def test_keys_that_do_not_fit_are_told(small, overrides, words):
    with pytest.raises(ConfigurationError, match=words):
        small(*overrides)
