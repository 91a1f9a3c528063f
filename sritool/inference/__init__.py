"""Short-run inference: the Langevin chain, its density, its step sizes, and the refinement of an encoder."""
