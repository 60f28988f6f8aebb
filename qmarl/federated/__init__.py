"""The federated layer: the only road that parameters travel between agents."""
