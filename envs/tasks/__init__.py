"""Tasks: what is rewarded, as array code over a state."""
