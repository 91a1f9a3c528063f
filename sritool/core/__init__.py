"""Models, samplers, densities, metrics and checkpoints. No printing."""
