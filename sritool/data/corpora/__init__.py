"""The named corpora: sources of their text, and how it is read."""
