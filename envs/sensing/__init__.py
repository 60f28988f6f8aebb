"""Sensing: what agents know of the world, by noise, rays and radio."""
