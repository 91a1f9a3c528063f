"""Pictures by matplotlib: one look for all of them, a module a kind."""
