"""Pictures of worlds: flights from above and in space, and boards of games."""
