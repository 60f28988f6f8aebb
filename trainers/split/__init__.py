"""Split learning: the differentiable parts on both sides of a cut, each with a graph of its own."""
