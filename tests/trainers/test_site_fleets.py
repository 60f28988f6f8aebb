import numpy as np
import pytest

from qmarl.errors import ConfigurationError
from trainers.evaluate import play
from trainers.logger import read_metrics
from trainers.rundir import RunDirectory

FLEETS = ("federation.client=fleet", "federation.fleets=3", "env.shards=1")
SLOTS = "env.obstacle_slots=3"
SITES = "env.sites=[{}, {obstacles: 3}, {wind: {speed: 1.0}, point: {drag: 0.5}}]"


def returns(run):
    return [line["episode/return"] for line in read_metrics(RunDirectory.open(run))]


def test_fleets_learn_and_are_evaluated_where_their_sites_are(small, train):
    differing = train(small(*FLEETS, SLOTS, SITES, "critic.kind=central"))
    alike = train(small(*FLEETS, SLOTS, "critic.kind=central"))
    assert np.isfinite(returns(differing)).all()
    assert returns(differing) != returns(alike)


def test_each_fleet_flies_at_its_own_site(small):
    from trainers.build import build

    def lengths(*overrides):
        parts = build(small(*FLEETS, SLOTS, *overrides))
        sites, env = parts.sites(parts.start.params), parts.config.env
        return play(env, parts.seats, sites, 6, 1, greedy=True)["return"]

    alike, differing = lengths(), lengths(SITES)
    assert (alike[:2] == differing[:2]).all()  # the first site is as it was
    assert (alike[4:] != differing[4:]).all()


def test_sites_that_do_not_fit_are_refused_before_round_0(small, train):
    with pytest.raises(ConfigurationError, match="state_size"):
        train(small(*FLEETS, SITES))
    with pytest.raises(ConfigurationError, match="federation"):
        train(small(SLOTS, SITES))
    with pytest.raises(ConfigurationError, match="3 sites for 2 fleets"):
        train(small(*FLEETS, "federation.fleets=2", SLOTS, SITES))
