"""Reproduces the paper's tables: what to train and measure for each, and the results beside the published figures."""
