"""Options that several benchmarks take; each takes those that it reads."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

from benchmarks.report import FORMATS
from benchmarks.shapes import SHAPES, Shape, shapes_named
from sritool.config.settings import Precision
from sritool.errors import UsageError
from sritool.model.device import resolve_device, resolve_precision, set_threads


def add_command(commands: Any, name: str, module: ModuleType) -> argparse.ArgumentParser:
    """A sub-command of a module that has `add_options`: its docstring is the help."""
    text = (module.__doc__ or "").strip()
    one: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text.splitlines()[0],
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_options(one)
    return one


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

    def settings(self) -> dict[str, Any]:
        """For the report."""
        return {
            "shapes": {shape.name: vars(shape) for shape in self.shapes},
            "rounds": self.rounds,
            "precision asked": self.precision,
        }


def add_common(parser: argparse.ArgumentParser) -> None:
    """What all take."""
    parser.add_argument("--threads", type=int, help="of PyTorch; its own choice by default")
    parser.add_argument(
        "--format", choices=FORMATS, default="auto", help="json is one document with the machine"
    )


def add_shapes(parser: argparse.ArgumentParser, shapes: Sequence[str]) -> None:
    """For models: which batches, and where."""
    parser.add_argument(
        "--shape", nargs="+", default=list(shapes), metavar="NAME", help=f"of {', '.join(SHAPES)}"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")


def add_precision(parser: argparse.ArgumentParser) -> None:
    """Of the output layer."""
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")


def add_timing(parser: argparse.ArgumentParser, rounds: int = 15) -> None:
    """For what is timed."""
    parser.add_argument("--rounds", type=int, default=rounds, help="alternating runs of each variant")
    parser.add_argument(
        "--most-seconds",
        type=float,
        default=240.0,
        help="begin no round of a shape after this time, but three",
    )


def context_of(arguments: argparse.Namespace) -> Context:
    """Raises: UsageError for a shape, device or count that cannot be."""
    rounds = getattr(arguments, "rounds", 1)
    if rounds < 1:
        raise UsageError(f"--rounds {rounds}: give at least 1")
    set_threads(arguments.threads)
    return Context(
        resolve_device(getattr(arguments, "device", "cpu")),
        tuple(shapes_named(getattr(arguments, "shape", []))),
        rounds,
        getattr(arguments, "most_seconds", float("inf")),
        getattr(arguments, "precision", "auto"),
    )
