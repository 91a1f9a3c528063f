"""Compares steps of several kinds with plain loops that do the same: runs them in turn, and makes ratios and a table.

A step belongs to a named sampler, the language model or the annealed VAE. Each is run by sritool ("ours"), by the
authors' loop if there is a chain, and by the strongest plain loop (`benchmarks/reference.py`). The plain loops always
use all words. Every comparison includes the training step of `vae-anneal`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import torch

from benchmarks import child
from benchmarks.options import Context
from benchmarks.ours import run_config
from benchmarks.report import Report
from benchmarks.shapes import Shape
from benchmarks.timing import Run, alternate, ratio, spread
from sritool.cli.formats import Table
from sritool.config.settings import RunConfig

OURS, AUTHORS, PLAIN = "ours", "authors' loop", "strongest plain"
ALL_WORDS = "preconditioned, all words"
SAMPLERS = ("authors", "preconditioned", ALL_WORDS)
OURS_ALONE = ("exponential",)
"""Samplers that no plain loop runs: steps as of `preconditioned`, with dropout, other noise and truncation."""
VAE = "vae-anneal"
COLUMNS = ("shape", "step", "K", "ms", f"÷ {VAE}", f"{AUTHORS} ÷ this", f"{PLAIN} ÷ this", "peak MiB")

Variant = tuple[str, str]
"""(whose step, kind of step)."""
Build = Callable[[Variant, Shape, str, torch.device, int | None], Run]
"""Builds one run of a variant: (variant, shape, precision, device, K or None for the sampler's own)."""


def config_of(kind: str, shape: Shape, precision: str, steps: int | None) -> RunConfig:
    """Return the settings with which a kind of step trains."""
    if kind not in (*SAMPLERS, *OURS_ALONE):
        return run_config(shape, kind, precision=precision)
    sampler = kind.removesuffix(", all words")
    return run_config(shape, sampler=sampler, steps=steps, precision=precision, all_words=kind == ALL_WORDS)


def variants(kinds: Sequence[str]) -> list[Variant]:
    """Return all variants to run. The plain loops use all words, so one serves both forms of a sampler."""
    plain = dict.fromkeys(_plain_kind(kind) for kind in kinds if kind not in OURS_ALONE)
    return [
        *((AUTHORS, kind) for kind in plain if kind in SAMPLERS),
        *((PLAIN, kind) for kind in plain),
        *((OURS, kind) for kind in dict.fromkeys([*kinds, VAE])),
    ]


def _plain_kind(kind: str) -> str:
    return "preconditioned" if kind == ALL_WORDS else kind


def measure(
    build: Build,
    kinds: Sequence[str],
    shape: Shape,
    precision: str,
    device: torch.device,
    rounds: int,
    most_seconds: float = float("inf"),
    steps: int | None = None,
    runs_chains: bool = False,
) -> list[dict[str, Any]]:
    """Measure milliseconds, and ratios within each round; one record per kind.

    Args:
        build: Builds one run of a variant.
        kinds: Kinds of step.
        shape: Sizes of the model and the batch.
        precision: "float32" or "bfloat16", as resolved.
        device: Where to run.
        rounds: Counted runs of each variant.
        most_seconds: Time after which no new round begins.
        steps: Langevin steps of a chain; None for the sampler's own number.
        runs_chains: A run is a whole chain, and the time of one of its steps is reported.
    """
    chains = [kind for kind in kinds if kind in (*SAMPLERS, *OURS_ALONE)]
    lengths = {kind: config_of(kind, shape, precision, steps).sampler.steps for kind in chains}
    runs = {variant: build(variant, shape, precision, device, steps) for variant in variants(kinds)}
    seconds = alternate(runs, rounds, device, most_seconds)
    for (who, kind), times in seconds.items():
        count = lengths.get(kind, 1) if runs_chains else 1
        seconds[who, kind] = [value / count for value in times]
    records = []
    for kind in kinds:
        times, plain = seconds[OURS, kind], _plain_kind(kind)
        loops = {who: seconds.get((who, plain)) for who in (AUTHORS, PLAIN)}
        measured = {who: found for who, found in {OURS: times, **loops}.items() if found}
        records.append(
            {
                "shape": shape.name,
                "step": kind,
                "precision": precision,
                "K": lengths.get(kind, 0),
                "rounds": len(times),
                "ms": {who: spread(found).scaled(1000)._asdict() for who, found in measured.items()},
                f"this / {VAE}": ratio(times, seconds[OURS, VAE])._asdict(),
                **{f"{who} / this": found and ratio(found, times)._asdict() for who, found in loops.items()},
                "memory": None,
            }
        )
    return records


def table_of(title: str, records: list[dict[str, Any]], note: str) -> Table:
    """Make a table for people: the least time, and medians of the ratios."""
    rows = []
    for record in records:
        ratios = (record[f"this / {VAE}"], record[f"{AUTHORS} / this"], record[f"{PLAIN} / this"])
        medians = (figures and round(figures["median"], 2) for figures in ratios)
        memory = record["memory"] and round(record["memory"]["peak MiB"])
        ms = record["ms"][OURS]["minimum"]
        rows.append((record["shape"], record["step"], record["K"] or None, ms, *medians, memory))
    return Table(title, COLUMNS, rows, note)


def report_of(
    benchmark: str,
    title: str,
    build: Build,
    kinds: Sequence[str],
    context: Context,
    arguments: argparse.Namespace,
    runs_chains: bool = False,
) -> Report:
    """Measure all shapes. On the CPU, also the peak memory of sritool's steps, each in a process of its own."""
    steps, device = arguments.steps, context.device
    report = Report(benchmark, context.settings(steps=steps), {"steps": []})
    for shape in context.shapes:
        precision, size = context.precision_of(shape), (context.rounds, context.most_seconds, steps)
        records = measure(build, kinds, shape, precision, device, *size, runs_chains)
        if device.type == "cpu" and not arguments.no_memory:
            for record in records:
                record["memory"] = child.ask(benchmark, (OURS, record["step"]), shape, precision, steps)
        report.results["steps"] += records
        note = f"{shape.sizes}; output layer in {precision}; {records[0]['rounds']} rounds"
        report.tables.append(table_of(f"{title}, {shape.name}", records, note))
    return report
