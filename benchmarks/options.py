"""Options shared by several benchmarks; each benchmark adds those that it reads."""

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
    """The parsed options, in the forms that the benchmarks use."""

    device: torch.device
    shapes: tuple[Shape, ...]
    rounds: int
    most_seconds: float  # limit for the counted rounds of a shape
    precision: Precision  # as requested

    def precision_of(self, shape: Shape) -> str:
        """Return the precision that training on this shape would choose."""
        return resolve_precision(self.precision, self.device, shape.hidden, shape.tokens, shape.vocabulary)

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return the settings for the report, with `more`."""
        shapes = {shape.name: vars(shape) for shape in self.shapes}
        return {"shapes": shapes, "rounds": self.rounds, "precision asked": self.precision, **more}


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options of all benchmarks."""
    parser.add_argument("--threads", type=int, help="threads of PyTorch; PyTorch chooses by default")
    parser.add_argument(
        "--format", choices=FORMATS, default="auto", help="json: one document that describes the machine too"
    )


def add_shapes(parser: argparse.ArgumentParser, shapes: Sequence[str]) -> None:
    """Add the options for the shapes of batches and the device."""
    known = f"shapes of batches: {', '.join(SHAPES)}"
    parser.add_argument("--shape", nargs="+", default=list(shapes), metavar="NAME", help=known)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")


def add_precision(parser: argparse.ArgumentParser) -> None:
    """Add the option for the precision of the output layer."""
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")


def add_timing(parser: argparse.ArgumentParser, rounds: int = 15) -> None:
    """Add the options for timing."""
    parser.add_argument("--rounds", type=int, default=rounds, help="alternating runs of each variant")
    limit = "time after which no new round of a shape begins; three rounds always run"
    parser.add_argument("--most-seconds", type=float, default=240.0, help=limit)


def add_steps(parser: argparse.ArgumentParser) -> None:
    """Add the options for training steps and chains whose memory is also measured."""
    parser.add_argument(
        "--steps", type=int, help="Langevin steps of a chain; the sampler's own number by default"
    )
    parser.add_argument("--no-memory", action="store_true", help="do not measure peak memory")


def context_of(arguments: argparse.Namespace) -> Context:
    """Return the context of parsed arguments.

    Raises:
        UsageError: A shape, device or number of rounds is invalid.
    """
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
