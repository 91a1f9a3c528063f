"""Steps of several kinds held against the plain loops that do the same: runs in turn, their ratios, and the table.

A kind of step is a named sampler's, the language model's or the annealed VAE's. Each is run by sritool ("ours"), by
the authors' loop where there is a chain, and by the strongest plain loop (`benchmarks/reference.py`), which always
see all words. The training step of `vae-anneal` takes part in every comparison.
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
VAE = "vae-anneal"
COLUMNS = ("shape", "step", "K", "ms", f"÷ {VAE}", f"{AUTHORS} ÷ this", f"{PLAIN} ÷ this", "peak MiB")

Variant = tuple[str, str]
"""Whose step, and of what kind."""
Build = Callable[[Variant, Shape, str, torch.device, int | None], Run]
"""One run of a variant: (variant, shape, precision, device, K or None for the sampler's own)."""


def config_of(kind: str, shape: Shape, precision: str, steps: int | None) -> RunConfig:
    """The settings that a kind of step trains with."""
    if kind not in SAMPLERS:
        return run_config(shape, kind, precision=precision)
    sampler = kind.removesuffix(", all words")
    return run_config(shape, sampler=sampler, steps=steps, precision=precision, all_words=kind == ALL_WORDS)


def variants(kinds: Sequence[str]) -> list[Variant]:
    """All that take turns: the plain loops see all words, so that one serves both forms of a sampler."""
    plain = dict.fromkeys(_plain_kind(kind) for kind in kinds)
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
    """One record a kind: ms, and ratios within each round.

    Args: precision: "float32" or "bfloat16", as resolved; runs_chains: a run is a whole chain, and one step of it is
          reported.
    """
    lengths = {
        kind: config_of(kind, shape, precision, steps).sampler.steps for kind in kinds if kind in SAMPLERS
    }
    runs = {variant: build(variant, shape, precision, device, steps) for variant in variants(kinds)}
    seconds = alternate(runs, rounds, device, most_seconds)
    for (who, kind), times in seconds.items():
        count = lengths.get(kind, 1) if runs_chains else 1
        seconds[who, kind] = [value / count for value in times]
    records = []
    for kind in kinds:
        times, plain = seconds[OURS, kind], _plain_kind(kind)
        others = {who: seconds.get((who, plain)) for who in (AUTHORS, PLAIN)}
        measured = {who: found for who, found in {OURS: times, **others}.items() if found}
        records.append(
            {
                "shape": shape.name,
                "step": kind,
                "precision": precision,
                "K": lengths.get(kind, 0),
                "rounds": len(times),
                "ms": {who: spread(found).scaled(1000)._asdict() for who, found in measured.items()},
                f"this / {VAE}": ratio(times, seconds[OURS, VAE])._asdict(),
                **{f"{who} / this": found and ratio(found, times)._asdict() for who, found in others.items()},
                "memory": None,
            }
        )
    return records


def table_of(title: str, records: list[dict[str, Any]], note: str) -> Table:
    """For people: the least time, and medians of the ratios."""
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
    """All shapes. On the CPU with the peak of memory of sritool's step, each in a process of its own."""
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
