"""Options that several benchmarks take; each takes those that it reads."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.report import FORMATS
from benchmarks.shapes import SHAPES, Shape, shapes_named
from sritool.config.settings import Precision
from sritool.errors import UsageError
from sritool.model.device import resolve_device, resolve_precision, set_threads


@dataclass(frozen=True)
class Context:
    """The options in the forms that the benchmarks use."""

    device: torch.device
    shapes: tuple[Shape, ...]
    rounds: int
    most_seconds: float  # of the counted rounds of a shape
    precision: Precision  # as asked

    def precision_of(self, shape: Shape) -> str:
        """What training on this shape would choose."""
        return resolve_precision(self.precision, self.device, shape.hidden, shape.tokens, shape.vocabulary)

    def settings(self, **more: Any) -> dict[str, Any]:
        """For the report."""
        shapes = {shape.name: vars(shape) for shape in self.shapes}
        return {"shapes": shapes, "rounds": self.rounds, "precision asked": self.precision, **more}


def add_common(parser: argparse.ArgumentParser) -> None:
    """What all take."""
    parser.add_argument("--threads", type=int, help="of PyTorch; its own choice by default")
    parser.add_argument(
        "--format", choices=FORMATS, default="auto", help="json is one document with the machine"
    )


def add_shapes(parser: argparse.ArgumentParser, shapes: Sequence[str]) -> None:
    """For models: which batches, and where."""
    known = f"of {', '.join(SHAPES)}"
    parser.add_argument("--shape", nargs="+", default=list(shapes), metavar="NAME", help=known)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")


def add_precision(parser: argparse.ArgumentParser) -> None:
    """Of the output layer."""
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")


def add_timing(parser: argparse.ArgumentParser, rounds: int = 15) -> None:
    """For what is timed."""
    parser.add_argument("--rounds", type=int, default=rounds, help="alternating runs of each variant")
    limit = "begin no round of a shape after this time, but three"
    parser.add_argument("--most-seconds", type=float, default=240.0, help=limit)


def add_steps(parser: argparse.ArgumentParser) -> None:
    """For training steps and chains whose memory is measured too."""
    parser.add_argument("--steps", type=int, help="Langevin steps of a chain; the sampler's own by default")
    parser.add_argument("--no-memory", action="store_true", help="leave out the peaks of memory")


def context_of(arguments: argparse.Namespace) -> Context:
    """Raises: UsageError for a shape, device or count that cannot be."""
    defaults = {"rounds": 1, "device": "cpu", "shape": [], "most_seconds": math.inf, "precision": "auto"}
    given: dict[str, Any] = defaults | vars(arguments)
    if given["rounds"] < 1:
        raise UsageError(f"--rounds {given['rounds']}: give at least 1")
    set_threads(arguments.threads)
    return Context(
        resolve_device(given["device"]),
        tuple(shapes_named(given["shape"])),
        given["rounds"],
        given["most_seconds"],
        given["precision"],
    )
