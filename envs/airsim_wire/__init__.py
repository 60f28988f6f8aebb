"""AirSim's protocol: its structs and calls, and a client that waits no longer than it is told."""
