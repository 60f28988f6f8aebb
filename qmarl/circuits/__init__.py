"""Circuits: PennyLane quantum functions, run as fused programs."""
