"""Time to decode codes of the prior, against the output layer's matrix products of the same words alone.

Of a shape's random generator every sentence has the shape's length, as its </s> cannot be predicted; of a trained one
(`--checkpoint`) they end where they end, the long ones last. The floor is the logits of as many words, 512 at a time
into one buffer: no recurrence, no choice of a word.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.floor import Floor
from benchmarks.options import Context, add_common, add_shapes, add_timing
from benchmarks.ours import method_of, run_config
from benchmarks.report import Report
from benchmarks.shapes import Shape
from benchmarks.timing import Run, alternate, ratio, spread
from sritool.cli.formats import Table
from sritool.data.tokenizer import EOS, FIRST_PREDICTED
from sritool.methods.registry import build_method
from sritool.model.decoding import DecodingConfig, decode
from sritool.model.generator import Generator
from sritool.model.random import Stream
from sritool.runs.checkpoint import load_checkpoint
from sritool.runs.folder import find_checkpoint
from sritool.runs.weights import load_weights

WAYS = {
    "greedy": DecodingConfig(),
    "ancestral": DecodingConfig(greedy=False),
    "top-p": DecodingConfig(greedy=False, top_p=0.9),
    "beam": DecodingConfig(beam=5),
}
AT_ONCE = 512  # rows of a product of the floor


class Subject(NamedTuple):
    """What is decoded from."""

    name: str
    shape: Shape
    generator: Generator
    longest: int  # words of a sentence


def of_shape(shape: Shape, device: torch.device) -> Subject:
    """Random weights; every sentence as long as the shape's."""
    generator = method_of(run_config(shape), shape, device).generator
    with torch.no_grad():
        generator.output_bias[EOS - FIRST_PREDICTED] = -torch.inf
    return Subject(shape.name, shape, generator, shape.length)


def of_checkpoint(path: Path, shape: Shape, device: torch.device) -> Subject:
    """A trained generator; of the shape only the name is used, all sizes are its own."""
    file = find_checkpoint(path, Path("runs"))
    checkpoint = load_checkpoint(file)
    method = build_method(checkpoint.config, len(checkpoint.tokenizer))
    load_weights(method.modules, checkpoint.weights, file)
    method.modules.to(device)
    sizes = checkpoint.config.generator
    own = replace(
        shape,
        vocabulary=len(checkpoint.tokenizer),
        embedding=sizes.embedding,
        hidden=sizes.hidden,
        latent=sizes.latent,
    )
    return Subject(str(path), own, method.generator, DecodingConfig().max_length)


def measure(
    subject: Subject, ways: list[str], sentences: int, device: torch.device, rounds: int, most_seconds: float
) -> list[dict[str, Any]]:
    """One record a way of decoding."""
    z = Stream(0, "prior").normal(torch.arange(sentences), subject.shape.latent).to(device)
    records = []
    for way in ways:
        counted = _Counted(subject, z, replace(WAYS[way], max_length=subject.longest))
        runs: dict[str, Run] = {"decode": counted.decode, "floor": counted.floor}
        seconds = alternate(runs, rounds, device, most_seconds)
        words = counted.words
        records.append(
            {
                "model": subject.name,
                "way": way,
                "sentences": sentences,
                "words": words,
                "rounds": len(seconds["decode"]),
                "seconds": spread(seconds["decode"])._asdict(),
                "floor seconds": spread(seconds["floor"])._asdict(),
                "this / floor": ratio(seconds["decode"], seconds["floor"])._asdict(),
            }
        )
    return records


class _Counted:
    """Decoding, and then the logits of as many words as it took."""

    def __init__(self, subject: Subject, z: Tensor, config: DecodingConfig) -> None:
        self.subject, self.z, self.config, self.words = subject, z, config, 0
        floor = Floor(replace(subject.shape, batch=1, length=AT_ONCE), "float32", z.device)
        self.product = floor.output_forward

    def decode(self) -> None:
        """All codes; </s> is a word too, but cut sentences have none."""
        found = decode(self.subject.generator, self.z, self.config, Stream(0, "decode"))
        self.words = sum(min(len(sentence) + 1, self.subject.longest) for sentence in found)

    def floor(self) -> None:
        """By the fastest product of `AT_ONCE` rows."""
        for _ in range(-(-self.words // AT_ONCE)):
            self.product()


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    add_common(parser)
    add_shapes(parser, ("ptb",))
    add_timing(parser, rounds=3)
    parser.add_argument("--sentences", type=int, default=10_000)
    parser.add_argument(
        "--way",
        nargs="+",
        default=["greedy"],
        choices=list(WAYS),
        metavar="WAY",
        help=f"of {', '.join(WAYS)}",
    )
    parser.add_argument("--checkpoint", type=Path, help="a trained run to decode from too")


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """All shapes, and the checkpoint."""
    ways, sentences = arguments.way, arguments.sentences
    given = {"ways": ways, "sentences": sentences, "checkpoint": str(arguments.checkpoint or "")}
    report = Report("sample", {**context.settings(), **given}, {"times": []})
    subjects = [of_shape(shape, context.device) for shape in context.shapes]
    if arguments.checkpoint:
        subjects.append(of_checkpoint(arguments.checkpoint, context.shapes[0], context.device))
    for subject in subjects:
        records = measure(subject, ways, sentences, context.device, context.rounds, context.most_seconds)
        report.results["times"] += records
        rows = [
            (
                record["way"],
                record["words"],
                record["seconds"]["minimum"],
                record["seconds"]["median"],
                record["floor seconds"]["median"],
                f"{record['this / floor']['median']:.2f} "
                f"({record['this / floor']['lower']:.2f}–{record['this / floor']['upper']:.2f})",
            )
            for record in records
        ]
        columns = ("way", "words", "s, min", "s, median", "floor, s", "this ÷ floor")
        sizes = f"V {subject.shape.vocabulary:,}, H {subject.shape.hidden}, E {subject.shape.embedding}"
        note = f"{sizes}, d {subject.shape.latent}; float32; {records[0]['rounds']} rounds"
        report.tables.append(Table(f"{sentences:,} sentences, {subject.name}", columns, rows, note))
    return report
