"""Quantum-secure links: what a link carries, and keys that an eavesdropper cannot have."""
