"""What tests of several folders share: batches, runs, methods, targets with known posteriors."""
