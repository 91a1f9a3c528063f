"""Latent-variable models of text, trained by short-run inference."""

__version__ = "0.1.0"
