"""Time to decode codes of the prior, compared with only the output layer's matrix products for the same words.

With a shape's random generator every sentence has the shape's length, because </s> cannot be predicted; with a
trained one (`--checkpoint`) sentences end on their own. The floor is the logits of as many words, 512 at a time
into one buffer: no recurrence, no choice of a word.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.floor import logits_floor
from benchmarks.options import Context, add_common, add_shapes, add_timing
from benchmarks.ours import method_of, run_config
from benchmarks.report import Report
from benchmarks.shapes import Shape
from benchmarks.timing import Run, Spread, alternate, ratio, spread
from sritool.cli.formats import Table
from sritool.data.tokenizer import EOS, FIRST_PREDICTED
from sritool.model.decoding import DecodingConfig, decode
from sritool.model.generator import Generator
from sritool.model.random import Stream
from sritool.runs.folder import find_checkpoint
from sritool.runs.model import load_model

WAYS = {
    "greedy": DecodingConfig(),
    "ancestral": DecodingConfig(greedy=False),
    "top-p": DecodingConfig(greedy=False, top_p=0.9),
    "beam": DecodingConfig(beam=5),
}
AT_ONCE = 512  # rows per product of the floor


class Subject(NamedTuple):
    """A generator to decode from."""

    name: str
    shape: Shape
    generator: Generator
    longest: int  # most words of a sentence


def of_shape(shape: Shape, device: torch.device) -> Subject:
    """Make a generator with random weights whose sentences all have the shape's length."""
    generator = method_of(run_config(shape), shape, device).generator
    with torch.no_grad():
        generator.output_bias[EOS - FIRST_PREDICTED] = -torch.inf
    return Subject(shape.name, shape, generator, shape.length)


def of_checkpoint(path: Path, shape: Shape, device: torch.device) -> Subject:
    """Load a trained generator; its own sizes replace those of the shape."""
    generator = load_model(find_checkpoint(path, Path("runs")), str(device)).generator
    sizes = {name: getattr(generator.config, name) for name in ("embedding", "hidden", "latent")}
    own = replace(shape, vocabulary=generator.vocabulary_size, **sizes)
    return Subject(str(path), own, generator, DecodingConfig().max_length)


def measure(subject: Subject, way: str, sentences: int, context: Context) -> dict[str, Any]:
    """Time decoding of all codes, and the logits of as many words as were decoded."""
    z = Stream(0, "prior").normal(torch.arange(sentences), subject.shape.latent).to(context.device)
    config, words = replace(WAYS[way], max_length=subject.longest), 0
    product = logits_floor(subject.shape, AT_ONCE, context.device)

    def decoding() -> None:
        """Decode all codes and count the words. </s> counts as a word; truncated sentences have none."""
        nonlocal words
        found = decode(subject.generator, z, config, Stream(0, "decode"))
        words = sum(min(len(sentence) + 1, subject.longest) for sentence in found)

    def floor() -> None:
        for _ in range(-(-words // AT_ONCE)):
            product()

    runs: dict[str, Run] = {"decode": decoding, "floor": floor}
    seconds = alternate(runs, context.rounds, context.device, context.most_seconds)
    return {
        "model": subject.name,
        "way": way,
        "sentences": sentences,
        "words": words,
        "rounds": len(seconds["decode"]),
        "seconds": spread(seconds["decode"])._asdict(),
        "floor seconds": spread(seconds["floor"])._asdict(),
        "this / floor": ratio(seconds["decode"], seconds["floor"])._asdict(),
    }


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_common(parser)
    add_shapes(parser, ("ptb",))
    add_timing(parser, rounds=3)
    parser.add_argument("--sentences", type=int, default=10_000)
    known = f"ways to decode: {', '.join(WAYS)}"
    parser.add_argument("--way", nargs="+", default=["greedy"], choices=list(WAYS), metavar="WAY", help=known)
    parser.add_argument("--checkpoint", type=Path, help="a trained run to decode from as well")


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """Measure all shapes, and the checkpoint."""
    ways, sentences = arguments.way, arguments.sentences
    given = {"ways": ways, "sentences": sentences, "checkpoint": str(arguments.checkpoint or "")}
    report = Report("sample", context.settings(**given), {"times": []})
    subjects = [of_shape(shape, context.device) for shape in context.shapes]
    if arguments.checkpoint:
        subjects.append(of_checkpoint(arguments.checkpoint, context.shapes[0], context.device))
    for subject in subjects:
        records = [measure(subject, way, sentences, context) for way in ways]
        report.results["times"] += records
        rows = []
        for record in records:
            took, over = record["seconds"], Spread(**record["this / floor"]).text()
            seconds = (took["minimum"], took["median"], record["floor seconds"]["median"])
            rows.append((record["way"], record["words"], *seconds, over))
        columns = ("way", "words", "s, min", "s, median", "floor, s", "this ÷ floor")
        sizes = f"V {subject.shape.vocabulary:,}, H {subject.shape.hidden}, E {subject.shape.embedding}"
        note = f"{sizes}, d {subject.shape.latent}; float32; {records[0]['rounds']} rounds"
        report.tables.append(Table(f"{sentences:,} sentences, {subject.name}", columns, rows, note))
    return report
