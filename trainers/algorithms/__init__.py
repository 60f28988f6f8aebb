"""Learning algorithms: pure functions from experience to new parameters."""
