"""Backends: what moves."""
