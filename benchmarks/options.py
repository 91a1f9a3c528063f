"""Options that every benchmark takes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.report import FORMATS
from benchmarks.shapes import PRESET_SHAPES, SHAPES, Shape, shapes_named
from sritool.core.device import resolve_device, resolve_precision, set_threads
from sritool.errors import UsageError


@dataclass(frozen=True)
class Context:
    """The options in the forms that the benchmarks use."""

    device: torch.device
    shapes: tuple[Shape, ...]
    rounds: int
    most_seconds: float  # of the counted rounds of a shape
    precision: str  # as asked: auto, float32, bfloat16

    def precision_of(self, shape: Shape) -> str:
        """What training on this shape would choose."""
        return resolve_precision(self.precision, self.device, shape.hidden, shape.tokens, shape.vocabulary)

    def settings(self) -> dict[str, Any]:
        """For the report."""
        return {
            "shapes": {shape.name: vars(shape) for shape in self.shapes},
            "rounds": self.rounds,
            "precision asked": self.precision,
        }


def add_common(parser: argparse.ArgumentParser, shapes: tuple[str, ...] = PRESET_SHAPES) -> None:
    """Give a benchmark's parser the common options."""
    parser.add_argument(
        "--shape", nargs="+", default=list(shapes), metavar="NAME", help=f"of {', '.join(SHAPES)}"
    )
    parser.add_argument("--rounds", type=int, default=15, help="alternating runs of each variant")
    parser.add_argument(
        "--most-seconds", type=float, default=240.0, help="begin no round of a shape after this time"
    )
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--threads", type=int, help="of PyTorch; its own choice by default")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--format", choices=FORMATS, default="auto")


def context_of(arguments: argparse.Namespace) -> Context:
    """Raises: UsageError for a shape, device or count that cannot be."""
    if arguments.rounds < 1:
        raise UsageError(f"--rounds {arguments.rounds}: give at least 1")
    set_threads(arguments.threads)
    return Context(
        resolve_device(arguments.device),
        tuple(shapes_named(arguments.shape)),
        arguments.rounds,
        arguments.most_seconds,
        arguments.precision,
    )
