"""Doors to other people's systems: Ray's metrics, Ray Tune, RLlib; each needs its own extra."""
