"""Steps of several kinds held against the plain loops that do the same: runs in turn, their ratios, and the table.

A kind of step is a named sampler's, the language model's or the annealed VAE's. Each is run by sritool ("ours"), by
the authors' loop where there is a chain, and by the strongest plain loop (`benchmarks/reference.py`), which always
see all words. The training step of `vae-anneal` takes part in every comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from benchmarks import child
from benchmarks.options import Context
from benchmarks.ours import run_config
from benchmarks.shapes import Shape
from benchmarks.timing import Run, alternate, ratio, spread
from sritool.cli.formats import Table
from sritool.config.settings import RunConfig

OURS, AUTHORS, PLAIN = "ours", "authors' loop", "strongest plain"
ALL_WORDS = "preconditioned, all words"
SAMPLERS = ("authors", "preconditioned", ALL_WORDS)
VAE = "vae-anneal"
COLUMNS = ("shape", "step", "K", "ms", f"÷ {VAE}", f"{AUTHORS} ÷ this", f"{PLAIN} ÷ this", "peak MiB")

Build = Callable[[str, Shape, str, torch.device, int | None], Run]
"""One run of a variant, "who, kind": (variant, shape, precision, device, K or None for the sampler's own)."""


class Variant(NamedTuple):
    """Whose step, and of what kind."""

    who: str
    kind: str

    @classmethod
    def of(cls, name: str) -> Variant:
        """From "who, kind"."""
        return cls(*name.split(", ", 1))

    @property
    def name(self) -> str:
        """The way back."""
        return ", ".join(self)


def config_of(kind: str, shape: Shape, precision: str, steps: int | None) -> RunConfig:
    """The settings that a kind of step trains with."""
    if kind not in SAMPLERS:
        return run_config(shape, kind, precision=precision)
    sampler = kind.removesuffix(", all words")
    return run_config(shape, sampler=sampler, steps=steps, precision=precision, all_words=kind == ALL_WORDS)


def chain_length(kind: str, shape: Shape, steps: int | None) -> int:
    """K; 0 where there is no chain."""
    return config_of(kind, shape, "float32", steps).sampler.steps if kind in SAMPLERS else 0


def variants(kinds: Sequence[str]) -> list[Variant]:
    """All that take turns: the plain loops see all words, so that one serves both forms of a sampler."""
    found = dict.fromkeys([*kinds, VAE])
    plain = dict.fromkeys(_plain_kind(kind) for kind in kinds)
    return [
        *(Variant(AUTHORS, kind) for kind in plain if kind in SAMPLERS),
        *(Variant(PLAIN, kind) for kind in plain),
        *(Variant(OURS, kind) for kind in found),
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
    lengths = {kind: chain_length(kind, shape, steps) for kind in (*kinds, VAE)}
    chosen = variants(kinds)
    runs = {variant.name: build(variant.name, shape, precision, device, steps) for variant in chosen}
    seconds = alternate(runs, rounds, device, most_seconds)
    for variant in chosen:
        count = max(1, lengths.get(variant.kind, 0)) if runs_chains else 1
        seconds[variant.name] = [value / count for value in seconds[variant.name]]
    records = []
    for kind in kinds:
        times, plain = seconds[Variant(OURS, kind).name], _plain_kind(kind)
        records.append(
            {
                "shape": shape.name,
                "step": kind,
                "precision": precision,
                "K": lengths[kind],
                "rounds": len(times),
                "ms": {
                    who: spread(seconds[name]).scaled(1000)._asdict()
                    for who, other in ((OURS, kind), (AUTHORS, plain), (PLAIN, plain))
                    if (name := Variant(who, other).name) in seconds
                },
                f"this / {VAE}": ratio(times, seconds[Variant(OURS, VAE).name])._asdict(),
                f"{AUTHORS} / this": _ratio(seconds, Variant(AUTHORS, plain), times),
                f"{PLAIN} / this": _ratio(seconds, Variant(PLAIN, plain), times),
                "memory": None,
            }
        )
    return records


def _ratio(seconds: Mapping[str, list[float]], over: Variant, times: list[float]) -> dict[str, float] | None:
    return ratio(seconds[over.name], times)._asdict() if over.name in seconds else None


def add_memory(
    benchmark: str, records: list[dict[str, Any]], shape: Shape, context: Context, steps: int | None
) -> None:
    """The peak of sritool's step, in a process of its own; on the CPU."""
    if context.device.type != "cpu":
        return
    for record in records:
        name = Variant(OURS, record["step"]).name
        threads = torch.get_num_threads()
        record["memory"] = child.ask(benchmark, name, shape, record["precision"], threads, steps)


def table_of(title: str, records: list[dict[str, Any]], note: str) -> Table:
    """For people: the least time, and medians of the ratios."""
    rows = [
        (
            record["shape"],
            record["step"],
            record["K"] or None,
            record["ms"][OURS]["minimum"],
            *(
                figures and round(figures["median"], 2)
                for figures in (
                    record[f"this / {VAE}"],
                    record[f"{AUTHORS} / this"],
                    record[f"{PLAIN} / this"],
                )
            ),
            record["memory"] and round(record["memory"]["peak MiB"]),
        )
        for record in records
    ]
    return Table(title, COLUMNS, rows, note)
