"""The training loop and what belongs to it: plan, limits, validation, log."""
