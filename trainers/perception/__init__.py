"""Federated perception: small quantum classifiers that learn together from divided data."""
