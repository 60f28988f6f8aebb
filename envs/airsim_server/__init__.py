"""A simulator behind AirSim's protocol: AirSim's own clients fly the built-in physics."""

from envs.airsim_server.serving import Served, serve

__all__ = ["Served", "serve"]
