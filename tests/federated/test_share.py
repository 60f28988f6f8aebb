from __future__ import annotations

import pytest

from qmarl.errors import ConfigurationError
from qmarl.federated.share import matches, select

NAMED = {"actor.angles": 1, "actor.scales": 2, "critic.0.weight": 3}


def test_patterns_choose_by_name_and_keep_the_order() -> None:
    assert list(select(NAMED, ("critic.*", "actor.*"))) == list(NAMED)
    assert select(NAMED, ("*.angles",)) == {"actor.angles": 1}
    assert matches("actor.angles", ("actor.?ngles",))
    assert not matches("Actor.angles", ("actor.*",))


def test_a_pattern_for_nothing_names_what_there_is() -> None:
    with pytest.raises(ConfigurationError, match=r"'actor\.angle' matches no parameter") as error:
        select(NAMED, ("actor.*", "actor.angle"))
    assert "did you mean 'actor.angles'?" in str(error.value)
    assert "critic.0.weight" in str(error.value)


def test_a_pattern_like_nothing_has_no_nearest_name() -> None:
    with pytest.raises(ConfigurationError) as error:
        select(NAMED, ("zzz",))
    assert "did you mean" not in str(error.value)
