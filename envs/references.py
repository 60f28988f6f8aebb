"""The reference policy of each built-in world: what a score without learning looks like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from envs.scripted import Policy
from envs.scripted_drones import hunt, keep_slot, serve_users
from envs.scripted_navigation import avoiding
from envs.scripted_vehicles import cross, escort, keep_gap
from envs.tasks import chsh, coin_scripted, two_step_game
from envs.tasks.cartpole_pair import balancing
from envs.tasks.single_hop_offloading import greedy


def _whatever(policy: Policy) -> Callable[[Any], Policy]:
    """A policy that serves every section of its world."""
    return lambda _: policy


POLICIES: Mapping[str, Callable[[Any], Policy]] = {
    "drone_navigation": _whatever(avoiding),
    "drone_formation": _whatever(keep_slot),
    "drone_coverage": _whatever(serve_users),
    "drone_pursuit": _whatever(hunt),
    "vehicle_intersection": _whatever(cross),
    "vehicle_platoon": _whatever(keep_gap),
    "convoy_escort": _whatever(escort),
    "single_hop_offloading": _whatever(greedy),
    "coin_game": coin_scripted.collector,
    "chsh": chsh.best,
    "two_step_game": _whatever(two_step_game.always(1)),
    "cartpole_pair": _whatever(balancing),
}
"""Makes a world's reference policy from its section, by the world's name."""
