"""Whole runs with privacy and secure aggregation: the same bits, an account, and an end."""

import json

import pytest
from test_runs import MODES, StopAt, digest

from qmarl import checkpoint
from qmarl.errors import ConfigurationError, RunError
from trainers.interrupt import RunInterruptedError
from trainers.progress import SilentProgress
from trainers.runs import resume
from trainers.runs import train as start

pytest.importorskip("dp_accounting", reason="needs the extra 'privacy' (dp-accounting)")

FLEETS = (*MODES["fleets"], "federation.fleets=5")
PRIVATE = {
    "server": "federation.privacy={adaptive: {}}",
    "client": "federation.privacy={noise: client, mechanism: laplace, adaptive: {}}",
    "distributed": "federation.privacy={noise: distributed}",
}
SECRET = "federation.secagg={signatures: ed25519}"


class Notes(SilentProgress):
    """Remembers what was said."""

    def __init__(self):
        self.said = []

    def note(self, message):
        self.said.append(message)


def told(run):
    """What happened to the group of all in each round, and its metrics."""
    lines = [json.loads(line) for line in (run / "federation.jsonl").read_text().splitlines()]
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["groups"]["all"] for line in lines], metrics


def status(run):
    return json.loads((run / "status.json").read_text())


@pytest.mark.parametrize(
    "settings",
    [
        (PRIVATE["server"],),
        (PRIVATE["client"], "federation.participation={kind: poisson, rate: 0.6}"),
        (PRIVATE["distributed"], SECRET),
        (SECRET, "federation.delays={fleet_4: 1}"),
    ],
    ids=["server", "client", "distributed", "secret"],
)
def test_a_resumed_run_ends_with_the_same_bits(small, train, settings, tmp_path):
    config = small(*FLEETS, *settings, "logging.checkpoint_every=10")
    whole = train(config)
    with pytest.raises(RunInterruptedError):
        start(config, source="", console=StopAt(2))
    interrupted = max((tmp_path / "runs" / "small").glob("2*"), key=lambda p: p.stat().st_mtime_ns)
    resume(interrupted, SilentProgress())
    assert digest(interrupted) == digest(whole)
    if settings[0] != SECRET:
        accounts = [json.loads((run / "privacy.json").read_text()) for run in (whole, interrupted)]
        assert accounts[0] == accounts[1]
        assert accounts[0]["groups"]["all"]["rounds"] == 3


def test_agents_are_private_too_and_the_account_is_in_every_round(small, train):
    happened, metrics = told(train(small(PRIVATE["server"])))
    epsilons = [each["federation/all/epsilon"] for each in metrics]
    # Gaussian noise of deviation 1, once, twice and three times (Balle and Wang 2018).
    assert epsilons == pytest.approx([4.377178, 6.572970, 8.385418], abs=1e-3)
    assert [each["epsilon"] for each in happened] == epsilons
    assert all(each["contributions"] == [] for each in happened)
    assert all("federation/all/client_norm" not in each for each in metrics)


def test_secret_sums_train_what_plain_updates_train(small, train):
    plain, secret = (
        checkpoint.load(train(small(*FLEETS, *more)) / "checkpoints").arrays["params.all"]
        for more in ((), (SECRET, "name=secret"))
    )
    gaps = [abs(plain[name] - secret[name]).max() for name in plain]
    assert max(gaps) < 1e-9


def test_the_run_ends_before_its_budget_is_exceeded_and_says_why(small, train, tmp_path):
    config = small(*FLEETS, "federation.privacy={epsilon: 7}", "rounds=6", "evaluation.every=6")
    console = Notes()
    run = start(config, source="", console=console)
    happened, metrics = told(run)
    reason = (
        "one more round would exceed the privacy budget: epsilon 7 at delta 1e-05, of which 6.573"
        " is spent"
    )
    assert [each["ended"] for each in happened] == ["", reason]
    assert status(run)["state"] == "finished"
    assert (status(run)["round"], status(run)["reason"]) == (2, reason)
    assert f"finished after 2 rounds: {reason}" in console.said
    assert metrics[-1]["federation/all/epsilon"] <= 7
    assert "eval/return" in metrics[-1]  # judged after the round that came to be the last
    assert (run / "eval" / "final.json").exists()
    resume(run, SilentProgress())  # there is nothing left to do
    assert told(run)[0] == happened
    assert status(run)["reason"] == reason


def test_a_budget_that_lasts_for_no_round_is_refused_before_round_0(small, train, tmp_path):
    config = small(*FLEETS, "federation.privacy={epsilon: 1}")
    with pytest.raises(ConfigurationError, match=r"privacy\.epsilon: one more round would exceed"):
        train(config)
    assert not (tmp_path / "runs").exists()


def test_few_clients_in_every_round_have_no_meaningful_guarantee_and_hear_so(small):
    console = Notes()
    start(small(*FLEETS, "federation.privacy={noise_multiplier: 0.5}"), source="", console=console)
    assert any("no meaningful guarantee: (" in said for said in console.said)
    assert any("no sampling hides who takes part" in said for said in console.said)


def test_who_was_drawn_stays_hidden_where_the_account_relies_on_it(small, train):
    run = train(
        small(
            *FLEETS,
            "federation.privacy={accountant: rdp}",
            "federation.participation={kind: poisson, rate: 0.5}",
        )
    )
    log, account = (run / "federation.jsonl").read_text(), (run / "privacy.json").read_text()
    assert "fleet_" not in log
    assert "nothing is amplified" not in account
    happened, metrics = told(run)
    for each in metrics:
        assert "federation/all/participants" not in each
        assert "federation/all/bytes_up" not in each
    assert happened[0]["epsilon"] < 4.3  # less than the same noise costs where all take part


def test_noise_of_the_system_is_never_the_same_and_a_resumed_round_counts_twice(small, tmp_path):
    secret = ("federation.privacy={noise_seed: system}", "evaluation.every=3")
    with pytest.raises(ConfigurationError, match="needs a checkpoint in every round"):
        small(*FLEETS, *secret, "logging.checkpoint_every=2")
    with pytest.raises(RunInterruptedError):
        start(small(*FLEETS, *secret), source="", console=StopAt(2))
    run = max((tmp_path / "runs" / "small").glob("2*"))
    resume(run, SilentProgress())
    assert json.loads((run / "privacy.json").read_text())["groups"]["all"]["rounds"] == 4
    again = start(small(*FLEETS, *secret, "name=again"), source="", console=SilentProgress())
    ends = [checkpoint.load(each / "checkpoints").arrays["params.all"] for each in (run, again)]
    assert (ends[0]["actor.angles"] != ends[1]["actor.angles"]).all()


def test_a_damaged_account_in_a_checkpoint_is_refused(small, train):
    from trainers.build import build

    federation = build(small(*FLEETS, PRIVATE["server"])).federations["all"]
    state = federation.state()
    del state["privacy/ledger/counts"]
    with pytest.raises(RunError, match="ledger does not fit"):
        federation.restore(state)


def test_a_fleet_with_models_of_two_groups_pays_for_both(small, train):
    groups = "agents={one: drone_0, other: drone_1}"
    run = train(small(*FLEETS, groups, "federation.privacy={}"))
    first = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
    both = [first[f"federation/{name}/epsilon"] for name in ("one", "other")]
    assert both == pytest.approx([6.572970] * 2, abs=1e-3)  # as one group after two rounds


def test_a_round_below_the_threshold_keeps_its_model_and_goes_on(small, train):
    away = "federation.delays={fleet_0: 1, fleet_1: 1}"
    happened, metrics = told(train(small(*FLEETS, SECRET, away, "rounds=4")))
    # Three of five are fewer than four; in every other round the late ones are not asked.
    assert [bool(each["kept"]) for each in happened] == [True, False, True, False]
    assert "3 of 5 clients are left after 'masked', 4 are needed" in happened[0]["kept"]
    assert happened[1]["participants"] == ["fleet_2", "fleet_3", "fleet_4"]
    assert [each["federation/all/update_norm"] == 0 for each in metrics] == [True, False] * 2
