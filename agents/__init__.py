"""Minds: quantum and classical actors, critics, and the stack of agents that share a shape."""
