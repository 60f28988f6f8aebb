"""The ground floor: circuits, the federated layer, and what everything stands on."""

__version__ = "0.1.0"
