"""Finished evaluations on disk: what was measured once is looked up the next time.

`evaluations.jsonl` beside the checkpoint, a line a measurement: its key, what the key stands for, the estimates with
their reliability, and the notes. Lines are only ever appended, each in one write, so that two processes do not mix
theirs; a line that was cut or changed is left aside and counted.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from sritool._version import __version__
from sritool.config.settings import LikelihoodConfig
from sritool.data.store import Split
from sritool.evaluation import estimators
from sritool.evaluation.measure import NEEDS, Measured, Settings
from sritool.evaluation.metrics import Estimate, Reliability
from sritool.evaluation.unfinished import VERSION, checksum, content_hash, fingerprint
from sritool.files import append
from sritool.methods.base import Method
from sritool.runs.folder import find_checkpoint
from sritool.runs.model import TrainedModel, load_model

NAME = "evaluations.jsonl"


class Part(NamedTuple):
    """The figures of one measurement by metric; a metric that could not be measured has none."""

    estimates: dict[str, list[Estimate]]
    notes: list[str]


class Evaluations:
    """The evaluations of one key; `damaged` lines of the file are not used, `writable` says whether any is kept."""

    def __init__(self, checkpoint: Path, key: str) -> None:
        self.path, self.key = checkpoint.with_name(NAME), key
        self.damaged, self.writable = 0, True
        self._latest: dict[str, Part] = {}  # metric -> the measurement that holds it
        for part in self._read():
            self._latest |= dict.fromkeys(part.estimates, part)

    def missing(self, metrics: Iterable[str]) -> tuple[str, ...]:
        """Those that are still to be measured."""
        return tuple(name for name in metrics if name not in self._latest)

    def measured_together(self) -> list[tuple[str, ...]]:
        """The metrics of each measurement on record, in its order."""
        return [tuple(part.estimates) for part in {id(part): part for part in self._latest.values()}.values()]

    def get(self, metrics: Iterable[str]) -> tuple[list[Estimate], list[str]]:
        """The estimates of these metrics, in the order of a table, and the notes on them."""
        wanted = [name for name in NEEDS if name in set(metrics) and name in self._latest]
        estimates = [estimate for name in wanted for estimate in self._latest[name].estimates[name]]
        notes = [note for name in wanted for note in self._latest[name].notes if _concerns(note, wanted)]
        return estimates, list(dict.fromkeys(notes))

    def add(self, metrics: Sequence[str], measured: Measured, about: Mapping[str, Any]) -> None:
        """Keep what was measured; a figure that is there already is replaced.

        Args: about: for people who read the file, what the key stands for.
        """
        part = Part({name: [] for name in metrics}, measured.notes)
        for estimate in measured.estimates:
            part.estimates[metric_of(estimate)].append(estimate)
        known = all(_plain(self._latest.get(name)) == _plain(part) for name in metrics)
        self._latest |= dict.fromkeys(metrics, part)
        if known:
            return
        record = {
            "key": self.key,
            "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "sritool": __version__,
            **about,
            **_plain(part),
        }
        try:
            line = json.dumps(record | {"checksum": checksum(json.dumps(record))})
            append(self.path, line.encode("ascii") + b"\n")
        except OSError:
            self.writable = False

    def _read(self) -> Iterator[Part]:
        try:
            lines = self.path.read_bytes().split(b"\n")
        except OSError:
            return
        for line in filter(None, lines):
            try:
                record = json.loads(line)
                if record.pop("checksum") != checksum(json.dumps(record)):
                    raise ValueError("damaged")
                if record["key"] == self.key:
                    yield _part(record)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                self.damaged += 1


def load_hashed(path: Path, device: str) -> tuple[TrainedModel, str]:
    """A model and the hash of the very file it came from, also while a training run replaces that file.

    Raises: as `load_model`.
    """
    file = find_checkpoint(path, Path("runs"))
    before = content_hash(file)
    while True:
        model, after = load_model(file, device), content_hash(file)
        if after == before:
            return model, after
        before = after


def key_of(
    content: str, method: Method, split: Split, chosen: NDArray[Any], settings: Settings, kind: object
) -> str:
    """Stands for all that figures depend on beyond rounding.

    Args: content: hash of the checkpoint; chosen: sentences of the split; kind: of device and numbers.
    """
    sentences = (split.ids, split.offsets, split.words, chosen)
    refinement = getattr(method, "refinement", None)  # of an encoder's q(z|x)
    used = (decisive(settings, method, len(chosen)), refinement, kind)
    return fingerprint(VERSION, __version__, content, *sentences, *used)


def decisive(settings: Settings, method: Method, sentences: int) -> Settings:
    """The settings with those made equal that do not change what is measured.

    Noise is keyed by the sentence, so that batch size and memory change the order of sums and nothing else; they
    are what another machine makes one choose, and are no reason to measure again. Nor is what the estimator at
    hand does not read, and without z nothing is read at all.
    """
    if method.latent == 0:
        return Settings((), LikelihoodConfig())
    used = settings._replace(
        metrics=(),
        batch_size=0,
        memory=0,
        kl_sentences=min(settings.kl_sentences, sentences),
        mi_sentences=min(settings.mi_sentences, sentences),
    )
    if settings.estimator != "ais":
        used = used._replace(rungs=0)
    if settings.estimator != estimators.DEFAULT:
        used = used._replace(likelihood=LikelihoodConfig(samples=settings.likelihood.samples))
    return used


def metric_of(estimate: Estimate) -> str:
    """The metric that was asked for: `ppl` of `ppl-word`."""
    name = estimate.metric
    return name if name in NEEDS else name.rpartition("-")[0]


def _concerns(note: str, metrics: Sequence[str]) -> bool:
    """Whether a note is about one of these metrics: it begins with metrics, or with the estimator of p(x)."""
    named = set(note.partition(":")[0].split(", "))
    if named <= NEEDS.keys():
        return bool(named & set(metrics))
    first = note.partition(" ")[0].rstrip(":")
    needed = {need for name in metrics for need in NEEDS[name]}
    if first in estimators.ESTIMATORS:
        return "likelihood" in needed
    return needed >= set(NEEDS.get(first, ()))


def _part(record: Mapping[str, Any]) -> Part:
    estimates = {name: [_estimate(values) for values in of] for name, of in record["metrics"].items()}
    return Part(estimates, [str(note) for note in record["notes"]])


def _estimate(values: Mapping[str, Any]) -> Estimate:
    found = Estimate(**values)
    reliability = None
    if values["reliability"] is not None:
        numbers = dict(values["reliability"])
        curve = tuple((int(draws), float(value)) for draws, value in numbers.pop("curve"))
        reliability = Reliability(**{name: float(value) for name, value in numbers.items()}, curve=curve)
    value, error = float(found.value), float(found.standard_error)
    return found._replace(value=value, standard_error=error, reliability=reliability)


def _plain(part: Part | None) -> dict[str, Any]:
    """As JSON has it."""
    if part is None:
        return {}
    return {
        "metrics": {name: [_fields(e) for e in found] for name, found in part.estimates.items()},
        "notes": part.notes,
    }


def _fields(value: Any) -> Any:
    """Fields by name; a number that JSON has no word for as its own, which `float` reads."""
    if isinstance(value, Estimate | Reliability):
        return {name: _fields(field) for name, field in value._asdict().items()}
    if isinstance(value, tuple):
        return [_fields(item) for item in value]
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value
