"""The named corpora: where their text comes from, and how it is read."""
