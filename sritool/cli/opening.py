"""What every command on a trained model does first: device, threads, the checkpoint and the model in it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sritool.cli.streams import say

if TYPE_CHECKING:
    from sritool.runs.model import TrainedModel


def open_device(device: str, gpu: str | None, threads: int | None) -> str:
    """The device by its full name, with PyTorch's threads bounded. Raises: UsageError if there is no such device."""
    from sritool.model.device import resolve_device, set_threads

    where = resolve_device(device, gpu)
    set_threads(threads)
    return str(where)


def open_checkpoints(given: Sequence[Path] | None, runs_dir: Path, doing: str) -> list[Path]:
    """The files that are meant; without any given, the newest run's, which is said on stderr after `doing`."""
    from sritool.runs.folder import find_checkpoint

    if given:
        return [find_checkpoint(path, runs_dir) for path in given]
    newest = find_checkpoint(None, runs_dir)
    say(f"{doing} {newest}")
    return [newest]


def open_model(
    checkpoint: Path | None, runs_dir: Path, device: str, gpu: str | None, threads: int | None, doing: str
) -> TrainedModel:
    """The model of a checkpoint, or of the newest run."""
    from sritool.runs.model import load_model

    where = open_device(device, gpu, threads)
    (path,) = open_checkpoints([checkpoint] if checkpoint else None, runs_dir, doing)
    return load_model(path, where)


def tell_typed(source: object, what: str = "sentences") -> None:
    """Say on stderr what is waited for, where `source` is "-" and a terminal: it would look stuck."""
    if str(source) == "-" and sys.stdin.isatty():
        say(f"type {what}, one a line; end with Ctrl-D")


def tell_unknown(model: TrainedModel, sentences: Sequence[str]) -> None:
    """Say on stderr which words of a user's sentences the model reads as <unk>."""
    from sritool.evaluation.sentences import unknown_words

    note = unknown_words(model, sentences)
    if note:
        say(note)


def runs_of_newest_corpus(runs_dir: Path) -> list[Path]:
    """Checkpoints of all runs on the newest run's corpus, which is said on stderr."""
    from sritool.analysis.comparison import runs_of_newest_corpus as find

    found = find(runs_dir)
    others = [f"{found.elsewhere} on other corpora"] if found.elsewhere else []
    others += [f"{found.begun} still in pretraining"] if found.begun else []
    left_out = f", without {' and '.join(others)}" if others else ""
    names = ", ".join(path.parent.name for path in found.paths)
    say(f"comparing the runs in {runs_dir}/ on the corpus of the newest one{left_out}: {names}")
    return found.paths
