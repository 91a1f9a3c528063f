"""Latent-variable models of text, trained by short-run inference.

import sritool

model = sritool.load("runs/tiny-sri")
model.sample(5)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

    from sritool.tasks.model import Model

__version__ = "0.1.0"


def load(path: str | PathLike[str], device: str = "cpu") -> Model:
    """A trained model from a checkpoint file or a run folder (best.pt before last.pt).

    Args:    device: cpu, cuda:0, mps or auto.
    Returns: an object with encode, decode, sample and log_likelihood; see sritool.tasks.model.Model.
    Raises:  sritool.errors.CheckpointError if it is missing or damaged; UsageError if there is no such device.
    """
    from pathlib import Path

    from sritool.tasks.model import load_model  # torch comes with it, and is not needed before

    return load_model(Path(path), device)
