"""Latent-variable models of text, trained by short-run inference.

import sritool

model = sritool.load("runs/tiny-sri")
model.sample(5)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sritool._version import __version__

if TYPE_CHECKING:
    from os import PathLike

    from sritool.api import Model

__all__ = ["__version__", "load"]


def load(path: str | PathLike[str], device: str = "cpu") -> Model:
    """Load a trained model from a checkpoint file or a run folder (best.pt before last.pt).

    Args:
        path: A `.pt` file or a folder such as `runs/tiny-sri`.
        device: cpu, cuda:0 or auto.

    Returns:
        An object with encode, decode, sample and log_likelihood; see `sritool.api.Model`.

    Raises:
        sritool.errors.CheckpointError: The file or folder is missing or damaged.
        sritool.errors.UsageError: The device does not exist.
    """
    from pathlib import Path

    from sritool import api  # imports torch, which nothing before needs

    return api.load(Path(path), device)
