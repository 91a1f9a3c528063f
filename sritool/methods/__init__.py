"""Training methods, one file each. No method imports another."""
