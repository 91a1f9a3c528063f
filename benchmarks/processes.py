"""A training step shared by several processes against the same step by one, each with one thread.

The processes take turns at the same global batch: one of them makes whole steps while the others sleep, then all
share them. Time of the clock is slowed by other work on the machine. Time of the processor is that of the busiest
process, sums included: what the clock would say at best, on cores that are free.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import tempfile
import time
from dataclasses import replace
from typing import Any

import torch

from benchmarks.options import Context, add_common, add_precision, add_shapes, add_timing
from benchmarks.ours import CLOCK, batches, method_of, optimizer_of, run_config
from benchmarks.report import Report
from benchmarks.shapes import Shape
from benchmarks.timing import ratio, spread
from sritool.cli.formats import Table
from sritool.config.settings import RunConfig
from sritool.process_group import Group
from sritool.processes import Processes
from sritool.training.sharing import BatchGradients

KINDS = ("sri", "lm", "vae-anneal")
_CPU = torch.device("cpu")


class SharedStep:
    """sritool's training step, whole, by all of some processes."""

    def __init__(self, config: RunConfig, shape: Shape, processes: Processes) -> None:
        self._method = method_of(config, shape, _CPU)
        self._method.processes = processes
        self._gradients = BatchGradients(self._method, config, _CPU, processes)
        self._optimizer = optimizer_of(self._method, _CPU)
        self._following, self._bound = batches(shape, _CPU), config.optimizer.clip or math.inf
        self._step = 0

    def __call__(self) -> None:
        """One update, at step numbers at which the trainer measures nothing besides."""
        self._step = self._step % 40 + 1
        self._gradients.compute(self._following(), CLOCK._replace(step=self._step), False)
        torch.nn.utils.clip_grad_norm_(self._method.modules.parameters(), self._bound)
        self._optimizer.step()
        self._method.after_update()

    def timed(self, steps: int) -> tuple[float, float]:
        """Seconds of a step, by the clock and by the processor."""
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(steps):
            self()
        return (time.perf_counter() - wall) / steps, (time.process_time() - processor) / steps


def _member(folder: str, rank: int, size: int, config: RunConfig, shape: Shape, plan: Any, told: Any) -> None:
    """One of the processes; the first one sends (wall, busiest processor) of alone and together in each round."""
    from torch.distributed import FileStore  # type: ignore[attr-defined]

    if hasattr(os, "setsid"):  # as torchrun does: Linux shares cores out by session
        os.setsid()
    rounds, steps, most_seconds = plan
    torch.set_num_threads(1)
    processes = Group(FileStore(f"{folder}/store", size), rank, size, _CPU)
    alone, together = SharedStep(config, shape, Processes()), SharedStep(config, shape, processes)
    found, began = [], time.monotonic()
    for number in range(rounds + 1):  # the first one warms up
        by_one = processes.first(lambda: alone.timed(steps))
        processes.barrier()
        wall, processor = together.timed(steps)
        busiest = max(processes.gather(processor))
        if number:
            found.append((tuple(by_one), (wall, busiest)))
        if processes.first(lambda: time.monotonic() - began > most_seconds) and number >= 3:
            break
    if rank == 0:
        told.send(found)
    processes.close()


def measure(config: RunConfig, shape: Shape, size: int, plan: tuple[int, int, float]) -> list[Any]:
    """Start the processes, and return what the first of them found in each round."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder:
        members = [
            context.Process(
                target=_member, args=(folder, rank, size, config, shape, plan, there), daemon=True
            )
            for rank in range(size)
        ]
        for member in members:
            member.start()
        there.close()
        found: list[Any] = here.recv()
        for member in members:
            member.join()
    return found


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    add_common(parser)
    add_shapes(parser, ("ptb",))
    add_precision(parser)
    add_timing(parser, rounds=7)
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=["sri", "lm"], help="of training")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--batch", type=int, help="of all processes together; the shape's by default")
    parser.add_argument("--steps", type=int, default=3, help="in each turn")


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """All shapes."""
    settings = {**context.settings(), "processes": arguments.processes, "threads of each": 1}
    report, size = Report("processes", settings, {"steps": []}), arguments.processes
    for preset in context.shapes:
        shape, rows = replace(preset, batch=arguments.batch or preset.batch), []
        for kind in arguments.kind:
            precision = context.precision_of(shape)
            config = run_config(shape, kind, "preconditioned", precision=precision)
            plan = context.rounds, arguments.steps, context.most_seconds
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
