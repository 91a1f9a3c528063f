"""Metrics of a trained model over sentences, and the record of measurements."""
