"""Time a sentence of the `adaptive` likelihood, of a Hessian, and of the chain's own density.

The density is held against the authors' scheme: B·d backward passes through the graph of the whole chain. Its
graph is built and a few of the passes, which are all alike, are timed; the rest is counted, not run. Each pass
goes over the whole batch, so their time a sentence grows with the batch, and a small batch favours them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.chain_jacobian import chain_with_graph, jacobian_row
from benchmarks.options import Context, add_common, add_shapes, add_timing
from benchmarks.ours import method_of, run_config
from benchmarks.reference import reference_of
from benchmarks.report import Report
from benchmarks.shapes import PRESET_SHAPES, Shape, random_batch
from benchmarks.timing import Run, Spread, alternate, ratio, spread
from sritool.cli.formats import Table
from sritool.config.settings import LikelihoodConfig
from sritool.inference.chain_density import chain_density
from sritool.inference.langevin import Dynamics, log_joint_of, short_run
from sritool.likelihood.adaptation import adaptive_draws
from sritool.likelihood.importance import likelihood_figures
from sritool.model.random import Stream

PASSES = 4  # of the authors' B·d that are run


class Ours:
    """sritool's evaluation of a batch of random sentences, in float32 but for pilots where it says so."""

    def __init__(self, shape: Shape, sentences: int, device: torch.device) -> None:
        self.config = run_config(shape)
        self.method = method_of(self.config, shape, device)
        self.batch = random_batch(shape, sentences=sentences).to(device)
        self.likelihood = LikelihoodConfig()
        self.codes = Stream(0, "codes").normal(self.batch.examples, shape.latent)

    def adaptive(self, pilots: str = "float32") -> object:
        """The default estimator, the chains that it starts from included."""
        conditional = self.method.conditional(self.batch)
        rough = self.method.conditional(self.batch, pilots)
        starts = self.method.posterior(conditional, 0, self.likelihood.modes)
        drawn = adaptive_draws(conditional, starts, 0, self.batch.examples, self.likelihood, rough=rough)
        return likelihood_figures(drawn)

    def hessian(self) -> Tensor:
        """∇²_z of every sentence at one z each."""
        return self.method.conditional(self.batch).hessian(self.codes)

    def chain(self) -> tuple[list[float], Tensor]:
        """Step sizes and noise of one chain a sentence."""
        schedule = self.config.sampler.schedule()
        return schedule, torch.randn(len(schedule), *self.codes.shape, device=self.codes.device)

    def density(self) -> object:
        """One chain a sentence and its density, a Hessian at each step."""
        conditional, (schedule, noise) = self.method.conditional(self.batch), self.chain()
        dynamics = Dynamics(schedule, 0.2)
        chain = short_run(log_joint_of(conditional), self.codes, noise, dynamics, keep_path=True)
        return chain_density(conditional, chain)


class Authors:
    """The chain's density by backward passes through the chain."""

    def __init__(self, ours: Ours) -> None:
        self.ours = ours
        self.model = reference_of(ours.method.generator)
        self.start = ours.codes.clone().requires_grad_()
        self.end = self.start
        self.turn = 0

    def build(self) -> None:
        """The chain with its graph."""
        self.end = self.start  # lets go of the graph before
        self.end = chain_with_graph(self.model, self.ours.batch, self.start, *self.ours.chain(), 0.2)

    def passes(self) -> None:
        """`PASSES` rows of the Jacobian."""
        size, latent = self.start.shape
        for _ in range(PASSES):
            jacobian_row(self.start, self.end, self.turn % size, self.turn % latent)
            self.turn += 1


def measure(shape: Shape, context: Context, sentences: int, authors_sentences: int) -> list[dict[str, Any]]:
    """One record a quantity: ms a sentence, and the authors' time over it for the density."""
    many, few = (Ours(shape, count, context.device) for count in (sentences, authors_sentences))
    authors = Authors(few)
    runs: dict[str, Run] = {
        "graph": authors.build,
        "passes": authors.passes,
        "density, few": few.density,
        "density": many.density,
        "hessian": many.hessian,
        "adaptive": many.adaptive,
        "adaptive, bfloat16": lambda: many.adaptive("bfloat16"),
    }
    seconds = alternate(runs, context.rounds, context.device, context.most_seconds)
    needed = authors_sentences * shape.latent / PASSES
    pairs = zip(seconds["graph"], seconds["passes"], strict=True)
    counted = [graph + needed * passes for graph, passes in pairs]

    def record(what: str, count: int, times: Sequence[float], against: bool = False) -> dict[str, Any]:
        own, theirs = ([t / n for t in each] for each, n in ((times, count), (counted, authors_sentences)))
        return {
            "shape": shape.name,
            "what": what,
            "sentences": count,
            "rounds": len(times),
            "ms a sentence": spread(own).scaled(1000)._asdict(),
            "authors / this": ratio(theirs, own)._asdict() if against else None,
        }

    return [
        record("density, authors' B·d passes (counted)", authors_sentences, counted, True),
        record("density, sritool", authors_sentences, seconds["density, few"], True),
        record("density, sritool", sentences, seconds["density"], True),
        record("Hessian at one z, sritool", sentences, seconds["hessian"]),
        record("adaptive likelihood, sritool", sentences, seconds["adaptive"]),
        record("the same, pilots in bfloat16", sentences, seconds["adaptive, bfloat16"]),
    ]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    add_common(parser)
    add_shapes(parser, PRESET_SHAPES)
    add_timing(parser, rounds=5)
    parser.add_argument("--sentences", type=int, default=16, help="of a batch of sritool's")
    parser.add_argument("--authors-sentences", type=int, default=2, help="of a batch of the authors' scheme")


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """All shapes."""
    counts = {"sentences": arguments.sentences, "authors_sentences": arguments.authors_sentences}
    report = Report("evaluate", context.settings(**counts, **{"passes run": PASSES}), {"times": []})
    for shape in context.shapes:
        records = measure(shape, context, **counts)
        report.results["times"] += records
        rows = []
        for record in records:
            ms, against = record["ms a sentence"], record["authors / this"]
            text = against and Spread(**against).text(1)
            rows.append((record["what"], record["sentences"], ms["minimum"], ms["median"], text))
        columns = ("what", "sentences", "ms a sentence, min", "median", "authors ÷ this")
        note = f"{shape.sizes}; float32; {records[0]['rounds']} rounds"
        report.tables.append(Table(f"evaluation, {shape.name}", columns, rows, note))
    return report
