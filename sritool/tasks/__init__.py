"""One file a subcommand: does the work and returns dataclasses. No printing, no argv."""
