"""Options that several commands share, a record for each group."""
