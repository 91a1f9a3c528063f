"""What happens before training: settings, the run to go on with, the corpus, and what it will cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from sritool.core.checkpoint import Checkpoint, load_checkpoint
from sritool.core.config import RunConfig, plain, to_toml
from sritool.corpus.batches import collate, training_batches
from sritool.corpus.named import NAMED, named_source
from sritool.corpus.store import Corpus, find_corpus, load_corpus
from sritool.errors import UsageError
from sritool.methods.base import Clock
from sritool.methods.registry import build_method
from sritool.tasks.configure import resolve_config
from sritool.tasks.preprocess import preprocess_corpus
from sritool.tasks.runs import LAST, find_checkpoint, new_run, newest_run


class Start(NamedTuple):
    """What the user asked for."""

    corpus: str
    method: str | None = None
    preset: str | None = None
    sampler: str | None = None
    file: Path | None = None
    assignments: tuple[str, ...] = ()
    flags: Mapping[str, Any] = {}
    resume: str | None = None  # "auto", a path, or None
    name: str | None = None


@dataclass(frozen=True)
class Plan:
    """A run about to begin or to go on."""

    start: Start
    config: RunConfig
    folder: Path | None  # of the run to go on with
    resume: Checkpoint | None

    def toml(self) -> str:
        """Its settings as TOML."""
        return to_toml(plain(self.config))

    def make_folder(self, runs_dir: Path) -> Path:
        """The run's folder, new unless it goes on."""
        if self.folder is not None:
            return self.folder
        corpus = Path(self.start.corpus).name
        return new_run(runs_dir / (self.start.name or f"{corpus}-{self.config.method}"))


def plan_run(start: Start, runs_dir: Path, data_dir: Path) -> Plan:
    """Settings and, with `resume`, the run to go on with; "auto" without one begins anew.

    Raises: UsageError, CheckpointError.
    """
    _check_corpus(start.corpus, data_dir)
    folder = _folder_to_resume(start, runs_dir)
    resume = load_checkpoint(folder / LAST) if folder is not None else None
    config = resolve_config(
        Path(start.corpus).name,
        method=start.method,
        preset=start.preset,
        sampler=start.sampler,
        file=start.file,
        assignments=start.assignments,
        flags=start.flags,
        under=resume.config if resume else None,
    )
    return Plan(start, config, folder, resume)


def _folder_to_resume(start: Start, runs_dir: Path) -> Path | None:
    if start.resume is None:
        return None
    if start.resume == "auto":
        name = start.name or f"{Path(start.corpus).name}-{start.method or 'sri'}"
        return newest_run(runs_dir, name)
    path = find_checkpoint(Path(start.resume), runs_dir)
    if not (path.parent / LAST).is_file():
        raise UsageError(f"{path.parent} has no {LAST} to go on from; start a new run without --resume")
    return path.parent


def _check_corpus(name: str, data_dir: Path) -> None:
    """Raises: UsageError at once, before anything is written, if there can be no such corpus."""
    if name not in NAMED and find_corpus(name, data_dir) is None:
        import difflib

        there = [path.name for path in data_dir.iterdir() if path.is_dir()] if data_dir.is_dir() else []
        near = difflib.get_close_matches(name, [*NAMED, *there], n=1)
        hint = f"did you mean {near[0]}?" if near else f"built-in: {', '.join(NAMED)}"
        raise UsageError(f"no corpus {name!r}; {hint} (your own: sritool preprocess FILE… --name {name})")


def prepare_corpus(plan: Plan, data_dir: Path, source: Path | None, say: Callable[[str], None]) -> Corpus:
    """The prepared corpus, prepared now if it is a built-in one that is not there yet."""
    name = plan.start.corpus
    path = find_corpus(name, data_dir)
    if path is None:
        say(f"preparing {name} in {data_dir / name}")
        path = preprocess_corpus(name, named_source(name, source), data_dir=data_dir).path
    return load_corpus(path)


def describe(plan: Plan, corpus: Corpus, device: torch.device) -> list[tuple[str, object, str]]:
    """Sizes, memory and time of a run, the time from three steps on batches of middle length."""
    config = plan.config
    method = build_method(config, len(corpus.tokenizer))
    method.initialise()
    method.modules.to(device)
    train = corpus.split("train")
    batches = training_batches(train.lengths, config.training.batch_size, config.training.seed, 0)
    by_length = sorted(batches, key=lambda part: int(train.lengths[part].max()))
    middle = [by_length[len(by_length) * k // 4] for k in (1, 2, 3)]
    seconds = []
    for number, part in enumerate([middle[0], *middle]):
        begin = time.perf_counter()
        method.gradients(collate(train, part).to(device), Clock(0, 0, number + 1, 0.0))
        seconds.append(time.perf_counter() - begin)
    parameters = sum(p.numel() for p in method.modules.parameters())
    logits = int(config.training.batch_size * train.lengths.max()) * len(corpus.tokenizer)
    states = int(config.training.batch_size * train.lengths.max()) * config.generator.hidden * 16
    memory = 4 * (4 * parameters + min(logits, 1 << 23) + states)
    epoch = float(np.mean(seconds[1:])) * len(batches)
    return [
        ("training sentences", len(train), ""),
        ("vocabulary", len(corpus.tokenizer), "with 4 special tokens"),
        ("parameters", parameters, ""),
        ("memory for the model and a batch", round(memory / 2**20), "MiB"),
        ("steps in an epoch", len(batches), ""),
        ("time of an epoch, without validation", round(epoch, 1), "s"),
        (
            "time of the plan",
            round(epoch * config.training.epochs / 60, 1),
            f"min, {config.training.epochs} epochs",
        ),
        ("device", str(device), ""),
    ]
