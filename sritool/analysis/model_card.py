"""Gathers the facts for a model card: how the model was trained, and its figures on record."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from sritool.analysis.figures_on_record import Figures, figures_on_record, in_order, notes_on
from sritool.config.values import to_toml
from sritool.errors import DataError
from sritool.evaluation.collapse import collapse_note, has_collapsed
from sritool.evaluation.evaluations_on_record import load_hashed
from sritool.evaluation.metrics import Estimate
from sritool.evaluation.sentences import prepared_corpus
from sritool.evaluation.settings import DEFAULT_METRICS, EvaluationSettings
from sritool.runs.checkpoint import Checkpoint, portable
from sritool.runs.names import run_name
from sritool.runs.stage import Stage, stage_of
from sritool.training.configure import shown


class CardFacts(NamedTuple):
    """Facts about a model."""

    checkpoint: Checkpoint  # portable, as it is passed on
    run: str
    parameters: int
    data: str  # corpus and split of the figures: `tiny test`
    sentences: dict[str, int]  # of each split; empty if the corpus is missing
    total: int | None  # sentences of the figures' split; None if the corpus is missing
    estimates: list[Estimate]
    notes: list[str]
    validated: dict[str, Any]  # last record of validation
    collapsed: str  # note that z is ignored; "" if it is used, or unknown
    uses_z: bool | None  # None: not measured

    @property
    def settings(self) -> str:
        """All settings of the run, as TOML."""
        return to_toml(shown(self.checkpoint.config))


def gather_facts(path: Path, data_dir: Path) -> CardFacts:
    """Collect the facts about a checkpoint; nothing is measured.

    Evaluations on record are found only if the model's corpus is in `data_dir`.
    """
    model = load_hashed(path)
    checkpoint = model.checkpoint
    try:
        corpus = prepared_corpus(model, data_dir)
        info = corpus.info
        split = info.held_out
        request = EvaluationSettings(split=split, limit=1, data_dir=data_dir)
        sets: list[Figures] = []
        for usual in (DEFAULT_METRICS, ("ppl", "nll"), ("nll",), ("ppl",)):
            sets = list(figures_on_record(model, corpus, request, usual))
            if any(estimate.metric in ("ppl", "nll") for estimate in in_order(sets)):
                break
        sentences = {name: part.sentences for name, part in info.splits.items()}
    except DataError:
        split, sets, sentences = "test", [], {}
    estimates = in_order(sets)
    records = reversed(checkpoint.metrics)
    last: dict[str, Any] = next((one for one in records if stage_of(one) is not Stage.AUTOENCODER), {})
    collapsed = collapse_note(checkpoint, estimates)
    known = "permuted" in last or any(estimate.metric == "permuted" for estimate in estimates)
    return CardFacts(
        checkpoint=portable(checkpoint),
        run=run_name(model.path),
        parameters=sum(parameter.numel() for parameter in model.method.modules.parameters()),
        data=f"{checkpoint.corpus.name} {split}",
        sentences=sentences,
        total=sentences.get(split),
        estimates=estimates,
        notes=notes_on(sets),
        validated=last,
        collapsed=collapsed,
        uses_z=not (collapsed or has_collapsed(checkpoint)) if known and model.latent else None,
    )
