"""Finished evaluations: figures measured once are looked up the next time.

A line of `evaluations.jsonl` beside the checkpoint holds one measurement: its key, what the key stands for, the
estimates with their reliability, the notes, and the terms of each sentence, for comparisons of two runs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import TypeAdapter

from sritool._version import __version__
from sritool.errors import CheckpointError
from sritool.evaluation.measure import Measured
from sritool.evaluation.metric_table import METRICS, metric_name
from sritool.evaluation.metrics import Array, Estimate, Reliability
from sritool.evaluation.notes import Note
from sritool.evaluation.record import (
    VERSION,
    FinishedBatches,
    Record,
    checkpoint_hash,
    fingerprint,
    packed,
    unpacked,
)
from sritool.evaluation.sentences import Chosen
from sritool.evaluation.settings import DEFAULT_ESTIMATOR, EvaluationSettings
from sritool.methods.base import Method
from sritool.processes import measuring
from sritool.runs.bundled import records_folder
from sritool.runs.folder import find_checkpoint
from sritool.runs.model import TrainedModel

NAME = "evaluations.jsonl"


class Measurement(NamedTuple):
    """The figures of one measurement by metric; a metric that could not be measured has none."""

    estimates: dict[str, list[Estimate]]
    notes: list[Note]
    terms: dict[str, Array]  # of each sentence, by the estimate's name


_ESTIMATES = TypeAdapter(dict[str, list[Estimate]])
_NOTES = TypeAdapter(list[Note])


class Evaluations(Record):
    """The evaluations of one key beside a checkpoint."""

    def __init__(self, checkpoint: Path, key: str) -> None:
        super().__init__(records_folder(checkpoint) / NAME)
        self.key = key
        self._latest: dict[str, Measurement] = {}  # metric -> the measurement that holds it
        for found in self.read(lambda entry: _measurement(entry) if entry["key"] == key else None):
            if found is not None:
                self._latest |= dict.fromkeys(found.estimates, found)

    def missing(self, metrics: Iterable[str]) -> tuple[str, ...]:
        """Return the metrics still to be measured."""
        return tuple(name for name in metrics if name not in self._latest)

    def terms(self, metrics: Iterable[str]) -> dict[str, Array]:
        """Return each sentence's terms of these metrics' estimates, by the estimate's name: [n] each."""
        return {
            estimate.metric: self._latest[name].terms[estimate.metric]
            for name in metrics
            if name in self._latest
            for estimate in self._latest[name].estimates[name]
            if estimate.metric in self._latest[name].terms
        }

    def measured_together(self) -> list[tuple[str, ...]]:
        """Return the metrics of each measurement on record, in its order."""
        distinct = {id(found): found for found in self._latest.values()}
        return [tuple(found.estimates) for found in distinct.values()]

    def get(self, metrics: Iterable[str]) -> tuple[list[Estimate], list[str]]:
        """Return the estimates of these metrics, in the order of a table, and the notes on them."""
        wanted = [name for name in METRICS if name in set(metrics) and name in self._latest]
        estimates = [estimate for name in wanted for estimate in self._latest[name].estimates[name]]
        notes = [
            note.text
            for name in wanted
            for note in self._latest[name].notes
            if name in note.metrics  # no notes on figures that a later measurement replaced
        ]
        return estimates, list(dict.fromkeys(notes))

    def add(self, metrics: Sequence[str], measured: Measured, about: Mapping[str, Any]) -> None:
        """Record the measured figures of these metrics; a figure already on record is replaced.

        `about` tells people who read the file what the key stands for.
        """
        found = Measurement({name: [] for name in metrics}, measured.notes, measured.terms)
        for estimate in measured.estimates:
            found.estimates[metric_name(estimate.metric)].append(estimate)
        known = all(_plain(self._latest.get(name)) == _plain(found) for name in metrics)
        self._latest |= dict.fromkeys(metrics, found)
        if not known:
            when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            head = {"key": self.key, "when": when, "sritool": __version__}
            self.append(head | dict(about) | _plain(found), sync=True)

    def batches(self, settings: EvaluationSettings) -> FinishedBatches:
        """Return the finished batches of an unfinished measurement of this key."""
        sizes = (settings.chains, settings.batch_size, settings.memory)
        return FinishedBatches(self.path, self.key, settings.metrics, sizes)

    def notes_on(self, metrics: Sequence[str], measured: Sequence[str]) -> Iterator[str]:
        """Note which of these figures were measured before, and problems with the file."""
        known = [name for name in metrics if name not in measured]
        if known:
            what = f"{', '.join(known)}: " if measured else ""
            yield f"{what}measured before, from {self.path.name}; --again measures anew"
        if self.damaged:
            yield f"{self.damaged} damaged lines of {self.path} are ignored"
        if not self.writable:
            yield f"the figures are not saved, as {self.path} cannot be written"


class HashedModel(TrainedModel):
    """A trained model with the hash of the file it came from, under which its figures are kept.

    Attributes:
        content: SHA-256 of the file, in hexadecimal.
    """

    content: str

    @classmethod
    def load(cls, path: Path | str, device: str = "cpu") -> Self:
        """Load as `TrainedModel.load` does, even while a training run replaces the file.

        Raises: CheckpointError also if the processes that measure together have read different files.
        """
        file = find_checkpoint(Path(path), Path("runs"))
        content, model = checkpoint_hash(file), super().load(file, device)
        while (now := checkpoint_hash(file)) != content:
            content, model = now, super().load(file, device)
        if len(set(measuring().gather(content))) > 1:
            raise CheckpointError(f"{file} changed while it was read; give the command again")
        model.content = content
        return model


load_hashed = HashedModel.load


def key_of(model: HashedModel, chosen: Chosen, settings: EvaluationSettings) -> str:
    """Return the hash of everything that affects figures beyond rounding."""
    split, method = chosen.split, model.method
    sentences = (split.ids, split.offsets, split.words, chosen.examples)
    used = (decisive(settings, method, len(chosen.examples)), method.refinement, model.arithmetic)
    return fingerprint(VERSION, __version__, model.content, *sentences, *used)


def decisive(settings: EvaluationSettings, method: Method, sentences: int) -> dict[str, object]:
    """Return the settings that change the figures of this many sentences, as plain values.

    Noise is keyed by the sentence, so batch size and memory, which depend on the machine, only change the order of
    sums: they are left out. So are settings that the estimator does not read; without z, none is read.
    """
    if method.latent == 0:
        return {}
    adaptive, samples = settings.estimator == DEFAULT_ESTIMATOR, settings.likelihood.samples
    return {
        "estimator": settings.estimator,
        "likelihood": asdict(settings.likelihood) if adaptive else {"samples": samples},
        **({"rungs": settings.rungs} if settings.estimator == "ais" else {}),
        "chains": settings.chains,
        "kl_sentences": settings.kl_count(sentences),
        "mi_sentences": min(settings.mi_sentences, sentences),
        **({"refinement": settings.refinement._asdict()} if settings.refinement else {}),
        "seed": settings.seed,
    }


def _measurement(entry: Mapping[str, Any]) -> Measurement:
    estimates = _ESTIMATES.validate_python(entry["metrics"])
    notes = _NOTES.validate_python(entry["notes"])
    return Measurement(estimates, notes, unpacked(entry.get("terms", {})))


def _plain(measured: Measurement | None) -> dict[str, Any]:
    """A measurement as JSON values."""
    if measured is None:
        return {}
    return {
        "metrics": {name: [_fields(e) for e in of] for name, of in measured.estimates.items()},
        "notes": [[note.text, list(note.metrics)] for note in measured.notes],
        "terms": packed(measured.terms),
    }


def _fields(value: Any) -> Any:
    """Fields by name; inf and NaN, which JSON lacks, as strings that pydantic reads."""
    if isinstance(value, Estimate | Reliability):
        return {name: _fields(field) for name, field in value._asdict().items()}
    if isinstance(value, tuple):
        return [_fields(item) for item in value]
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value
