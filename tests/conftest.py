"""What every test stands on: one torch thread, and property tests that repeat themselves."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

os.environ["OMP_NUM_THREADS"] = "1"  # before torch or NumPy start their thread pools
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

settings.register_profile(
    "house",
    deadline=None,  # the machine may be busy; a slow example is no failure
    derandomize=True,  # the same examples everywhere, so that a failure can be repeated
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("search", parent=settings.get_profile("house"), derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))
