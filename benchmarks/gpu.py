"""Everything that needs a GPU, in one command: `python -m benchmarks.gpu OUT`.

Runs the tests marked `gpu` and compares the fast path with autograd, a Langevin step and a training step with the
plain loops, the chain kernel by kernel with its CUDA graph, and our recurrence with cuDNN's. Writes the tables to
OUT/gpu.md and the figures to OUT/gpu.json. A failure is recorded there, and the rest still runs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks import chain, equality, train
from benchmarks.compared import SAMPLERS, measure, table_of
from benchmarks.ours import CLOCK, method_of, run_config
from benchmarks.report import machine
from benchmarks.shapes import SHAPES, Shape, random_batch
from benchmarks.timing import Run, alternate, ratio, spread
from sritool.cli.formats import Table, lines_of, native
from sritool.methods import sri
from sritool.model.device import products_in
from sritool.model.recurrence import Recurrence, RecurrentWeight

DEVICE = torch.device("cuda", 0)
NAMES = ("ptb", "captions", "yahoo", "tiny")
PRECISIONS = ("float32", "tf32", "bfloat16")

Result = tuple[Table, dict[str, Any]]
Job = Callable[[], Result]


def recurrences(shape: Shape) -> dict[str, Run]:
    """Build one forward and backward pass for z: ours kernel by kernel, ours as a CUDA graph, and cuDNN's."""
    size, gates = (shape.length, shape.batch), 4 * shape.hidden
    inputs = torch.randn(*size, gates, device=DEVICE)
    incoming = torch.randn(*size, shape.hidden, device=DEVICE)
    recurrent = torch.randn(gates, shape.hidden, device=DEVICE) * 0.1
    weight, start = RecurrentWeight(recurrent), torch.zeros(shape.batch, shape.hidden, device=DEVICE)
    buffers = Recurrence(*size, shape.hidden, inputs)

    @torch.no_grad()
    def ours() -> None:
        buffers.gates.copy_(inputs)
        buffers.run(start, weight)
        buffers.backward(incoming.clone(), weight)

    library = torch.nn.LSTM(shape.embedding + shape.latent, shape.hidden).to(DEVICE).requires_grad_(False)
    words = torch.randn(*size, shape.embedding + shape.latent, device=DEVICE, requires_grad=True)

    def cudnn() -> None:
        hidden, _ = library(words)
        torch.autograd.grad(hidden, words, incoming)

    return {"ours, kernels": ours, "ours, graph": graphed(ours), "cuDNN, with the inputs' products": cudnn}


def graphed(run: Run) -> Run:
    """Capture a run as one CUDA graph."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def passes(shape: Shape, precision: str) -> dict[str, Run]:
    """Build SRI's chain and gradient for θ as training runs them: kernel by kernel, and as a replayed graph."""
    batch = random_batch(shape).to(DEVICE)
    runs: dict[str, Run] = {}
    for name, sampler in (("end", "paper"), ("path", "authors")):
        for how, replayed in (("kernels", False), ("graph", True)):
            config = run_config(shape, sampler=sampler, precision=precision)
            method = method_of(config, shape, DEVICE)

            def run(method: Any = method, replayed: bool = replayed) -> None:
                sri._replayed = lambda _: replayed  # type: ignore[assignment]
                with products_in(precision):
                    method.gradients(batch, CLOCK)

            runs[f"{name}, {how}"] = run
    return runs


def compared(title: str, note: str, runs: dict[str, Run], rounds: int) -> Result:
    """Measure the milliseconds of runs in turn, and the ratio of the first to each."""
    seconds = alternate(runs, rounds, DEVICE)
    first, figures, rows = next(iter(seconds.values())), {}, []
    for name, times in seconds.items():
        ms, over = spread(times).scaled(1000), ratio(first, times)
        figures[name] = {"ms": ms._asdict(), "first / this": over._asdict()}
        rows.append((name, ms.minimum, ms.median, over.text()))
    return Table(title, ("variant", "ms min", "ms median", "first ÷ this"), rows, note), figures


def tests() -> Result:
    """Run `pytest -m gpu`."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "tests/gpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr.strip()[-200:]
    table = Table("pytest -m gpu", ("exit code", "last line"), [(done.returncode, last)])
    return table, {"exit code": done.returncode, "output": done.stdout[-6000:]}


def jobs(names: list[str], rounds: int) -> dict[str, Job]:
    """Return the jobs by name, in the order in which they run."""
    found: dict[str, Job] = {"tests": tests}
    for shape in (SHAPES[name] for name in names):
        for form, padded in (("even", False), ("padded", True)):
            found[f"equality {shape.name} {form}"] = partial(_equality, shape, padded)
        found[f"recurrence {shape.name}"] = partial(_recurrences, shape, rounds)
        for precision in PRECISIONS:
            found[f"pass {shape.name} {precision}"] = partial(_passes, shape, precision, rounds)
        found[f"chain {shape.name}"] = partial(_chain, shape, rounds)
        found[f"train {shape.name}"] = partial(_train, shape, rounds)
    return found


def _recurrences(shape: Shape, rounds: int) -> Result:
    title = f"recurrence forward and backward, {shape.name}"
    return compared(title, shape.sizes, recurrences(shape), rounds)


def _passes(shape: Shape, precision: str, rounds: int) -> Result:
    title = f"chain and θ's gradient, {shape.name}, {precision}"
    return compared(title, f"{shape.sizes}; K = 20", passes(shape, precision), rounds)


def _equality(shape: Shape, padded: bool) -> Result:
    record = equality.compare(shape, padded, 0.1, 20, DEVICE)
    rows = [(name, max(errors)) for name, errors in record["errors by step"].items()]
    rows.append(("z_K, float64", record["chain difference"]))
    title = f"relative error against autograd, {shape.name}, {'padded' if padded else 'even'}"
    held = "broken" if record["broken"] else "held"
    return Table(title, ("precision", "largest error"), rows, held), record


def _chain(shape: Shape, rounds: int) -> Result:
    records = measure(chain.build, SAMPLERS, shape, "float32", DEVICE, rounds, 60.0, runs_chains=True)
    return table_of(f"Langevin step, {shape.name}", records, shape.sizes), {"records": records}


def _train(shape: Shape, rounds: int) -> Result:
    records = measure(train.build, train.KINDS, shape, "float32", DEVICE, rounds, 60.0)
    return table_of(f"training step, {shape.name}", records, shape.sizes), {"records": records}


def main() -> int:
    """Run all jobs, and write the results after each, so that they survive a time limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--shape", nargs="+", default=list(NAMES), choices=sorted(SHAPES))
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("not run: PyTorch sees no CUDA device here", file=sys.stderr)
        return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    described = machine(DEVICE)
    parts = [f"# {described['gpu']}, PyTorch {described['torch']}, {described['date']}\n"]
    figures: dict[str, Any] = {"machine": described}
    failed = 0
    for name, job in jobs(arguments.shape, arguments.rounds).items():
        print(name, file=sys.stderr, flush=True)
        try:
            table, figures[name] = job()
            parts.append(f"\n## {table.title}\n\n{''.join(lines_of(table, 'markdown'))}\n{table.note}\n")
        except Exception:
            failed += 1
            figures[name] = {"failed": traceback.format_exc()}
            parts.append(f"\n## {name}: failed\n\n```\n{traceback.format_exc(limit=-4)}```\n")
        (arguments.out / "gpu.md").write_text("".join(parts), encoding="utf-8")
        (arguments.out / "gpu.json").write_text(json.dumps(native(figures), indent=1), encoding="utf-8")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
