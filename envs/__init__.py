"""Worlds: tasks (what is rewarded) over backends (what moves), batched, with a PettingZoo view."""
