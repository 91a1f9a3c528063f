"""Estimators of log p(x), and the quantities computed from their weighted draws."""
