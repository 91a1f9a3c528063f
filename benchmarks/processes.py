"""Compares a training step shared by several processes with the same step in one process, one thread each.

Both use the same global batch, in turn: one process makes whole steps while the others sleep, then all share the
steps. Wall-clock time is slowed by other work on the machine. Processor time is that of the busiest process, sums
included: the best possible wall-clock time, on idle cores.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from dataclasses import replace
from typing import Any

import torch

from benchmarks.options import Context, add_common, add_precision, add_shapes, add_timing
from benchmarks.ours import OurStep, run_config
from benchmarks.report import Report
from benchmarks.shapes import Shape
from benchmarks.timing import ratio, spread
from sritool.cli.formats import Table
from sritool.config.settings import RunConfig
from sritool.process_group import Group

KINDS = ("sri", "lm", "vae-anneal")
_CPU = torch.device("cpu")


def timed(step: OurStep, steps: int) -> tuple[float, float]:
    """Measure the seconds of a step: (wall-clock, processor)."""
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(steps):
        step()
    return (time.perf_counter() - wall) / steps, (time.process_time() - processor) / steps


def _member(
    folder: str, rank: int, size: int, config: RunConfig, shape: Shape, plan: Any, sender: Any
) -> None:
    """Run one of the processes; the first sends (wall-clock, busiest processor) of both variants in each round."""
    from torch.distributed import FileStore  # type: ignore[attr-defined]

    if hasattr(os, "setsid"):  # as torchrun does: Linux divides the cores by session
        os.setsid()
    rounds, steps, most_seconds = plan
    torch.set_num_threads(1)
    processes = Group(FileStore(f"{folder}/store", size), rank, size, _CPU)
    alone, together = OurStep(config, shape, _CPU), OurStep(config, shape, _CPU, processes)
    found, began = [], time.monotonic()
    for number in range(rounds + 1):  # the first one warms up
        by_one = processes.first(lambda: timed(alone, steps))
        processes.barrier()
        wall, processor = timed(together, steps)
        busiest = max(processes.gather(processor))
        if number:
            found.append((tuple(by_one), (wall, busiest)))
        if processes.first(lambda: time.monotonic() - began > most_seconds) and number >= 3:
            break
    if rank == 0:
        sender.send(found)
    processes.close()


def measure(config: RunConfig, shape: Shape, size: int, plan: tuple[int, int, float]) -> list[Any]:
    """Start the processes, and return what the first of them measured in each round."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder:
        members = []
        for rank in range(size):
            given = (folder, rank, size, config, shape, plan, sender)
            members.append(context.Process(target=_member, args=given, daemon=True))
            members[rank].start()
        sender.close()
        found: list[Any] = receiver.recv()
        for member in members:
            member.join()
    return found


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_common(parser)
    add_shapes(parser, ("ptb",))
    add_precision(parser)
    add_timing(parser, rounds=7)
    parser.add_argument(
        "--kind", nargs="+", choices=KINDS, default=["sri", "lm"], help="methods to train with"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--batch", type=int, help="global batch size; the shape's by default")
    parser.add_argument("--steps", type=int, default=3, help="training steps in each turn")


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """Measure all shapes."""
    size, plan = arguments.processes, (context.rounds, arguments.steps, context.most_seconds)
    settings = context.settings(**{"processes": size, "threads of each": 1})
    report = Report("processes", settings, {"steps": []})
    for preset in context.shapes:
        shape, rows = replace(preset, batch=arguments.batch or preset.batch), []
        for kind in arguments.kind:
            config = run_config(shape, kind, "preconditioned", precision=context.precision_of(shape))
            found = measure(config, shape, size, plan)
            row: list[object] = [kind]
            for which in range(2):  # clock and processor
                one, several = ([pair[who][which] for pair in found] for who in range(2))
                row += [1000 * spread(one).median, 1000 * spread(several).median, ratio(one, several).text()]
            rows.append(row)
            report.results["steps"].append({"kind": kind, "shape": shape.name, "rounds": found})
        columns = ("method", "ms, one", f"ms, {size}", "one ÷ several", "processor ms, one")
        busiest = (f"processor ms, busiest of {size}", "one ÷ several, processor")
        note = f"{shape.sizes}; one thread each"
        report.tables.append(Table(f"training step, {shape.name}: {note}", (*columns, *busiest), rows))
    return report
