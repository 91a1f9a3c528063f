"""Helpers for tests of several folders: batches, runs, methods, and targets with known posteriors."""
