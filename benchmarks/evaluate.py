"""Time per sentence of the `adaptive` likelihood, of a Hessian, and of the density of a chain.

The density is compared with the authors' scheme: B·d backward passes through the graph of the whole chain. The
graph is built and a few of the passes, which are all alike, are timed; the rest is extrapolated. Each pass goes
over the whole batch, so the time of the scheme per sentence grows with the batch, and a small batch favours it.
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

PASSES = 4  # number of the authors' B·d passes that are run


class Ours:
    """sritool's evaluation of a batch of random sentences, in float32 except where pilots say otherwise."""

    def __init__(self, shape: Shape, sentences: int, device: torch.device) -> None:
        self.config = run_config(shape)
        self.method = method_of(self.config, shape, device)
        self.batch = random_batch(shape, sentences=sentences).to(device)
        self.likelihood = LikelihoodConfig()
        self.codes = Stream(0, "codes").normal(self.batch.examples, shape.latent)

    def adaptive(self, pilots: str = "float32") -> object:
        """Run the default estimator, including the chains that it starts from."""
        conditional = self.method.conditional(self.batch)
        rough = self.method.conditional(self.batch, pilots)
        starts = self.method.posterior(conditional, 0, self.likelihood.modes)
        drawn = adaptive_draws(conditional, starts, 0, self.batch.examples, self.likelihood, rough=rough)
        return likelihood_figures(drawn)

    def hessian(self) -> Tensor:
        """Compute ∇²_z of every sentence at one z each."""
        return self.method.conditional(self.batch).hessian(self.codes)

    def chain(self) -> tuple[list[float], Tensor]:
        """Return the step sizes and noise of one chain per sentence."""
        schedule = self.config.sampler.schedule()
        return schedule, torch.randn(len(schedule), *self.codes.shape, device=self.codes.device)

    def density(self) -> object:
        """Run one chain per sentence and compute its density, with a Hessian at each step."""
        conditional, (schedule, noise) = self.method.conditional(self.batch), self.chain()
        dynamics = Dynamics(schedule, 0.2)
        chain = short_run(log_joint_of(conditional), self.codes, noise, dynamics, keep_path=True)
        return chain_density(conditional, chain)


class Authors:
    """The density of a chain by backward passes through the chain."""

    def __init__(self, ours: Ours) -> None:
        self.ours = ours
        self.model = reference_of(ours.method.generator)
        self.start = ours.codes.clone().requires_grad_()
        self.end = self.start
        self.turn = 0

    def build(self) -> None:
        """Run the chain with its graph."""
        self.end = self.start  # frees the previous graph
        self.end = chain_with_graph(self.model, self.ours.batch, self.start, *self.ours.chain(), 0.2)

    def passes(self) -> None:
        """Compute `PASSES` rows of the Jacobian."""
        size, latent = self.start.shape
        for _ in range(PASSES):
            jacobian_row(self.start, self.end, self.turn % size, self.turn % latent)
            self.turn += 1


def measure(shape: Shape, context: Context, sentences: int, authors_sentences: int) -> list[dict[str, Any]]:
    """Measure ms per sentence of each quantity and, for the density, the ratio of the authors' time to it."""
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
    """Add the options of this benchmark."""
    add_common(parser)
    add_shapes(parser, PRESET_SHAPES)
    add_timing(parser, rounds=5)
    parser.add_argument("--sentences", type=int, default=16, help="batch size for sritool")
    parser.add_argument("--authors-sentences", type=int, default=2, help="batch size for the authors' scheme")


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """Measure all shapes."""
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
