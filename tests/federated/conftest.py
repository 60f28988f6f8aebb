"""What pytest must leave alone here: scripts that need packages which are no dependency."""

collect_ignore_glob = ["fixtures/*", "fuzz_*.py"]
