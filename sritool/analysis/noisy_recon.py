"""Reconstruction from noisy sentences: z is inferred from the noisy sentence, −log p(x|z) is of the clean one.

Source: Pang et al. 2021, section 4.2; Shen et al. 2020 have a similar measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sritool._version import __version__
from sritool.analysis.noisy_text import NoisyText, make_noisy, read_noisy, write_noisy
from sritool.data.batches import collate, evaluation_batches
from sritool.data.noise import check_kind
from sritool.data.sampling import Indices
from sritool.data.split import Split, without_ends
from sritool.errors import NumericalError, UsageError
from sritool.evaluation.batches import measured_batches, report_as
from sritool.evaluation.collapse import ignores_z
from sritool.evaluation.evaluate import require_one_corpus
from sritool.evaluation.evaluations_on_record import HashedModel, load_hashed
from sritool.evaluation.metric_table import NATS
from sritool.evaluation.metrics import Array, Estimate, derangement, mean_estimate
from sritool.evaluation.record import FinishedBatches
from sritool.evaluation.sentences import Text, choose_sentences, read_text, reading_notes
from sritool.model.conditional import Conditional
from sritool.runs.model import Report, TrainedModel
from sritool.runs.names import each_once, run_name, run_names

COUNTS = (0, 1, 2, 3, 4)  # default numbers of changes
MOST = 1000  # changes


@dataclass(frozen=True)
class Request:
    """Settings of the measurement, and its sentences."""

    kind: str = "swap"
    counts: tuple[int, ...] | None = None  # numbers of changes; None: COUNTS, or all in `noisy`
    split: str = "test"
    text: Path | None = None  # a file or "-", in place of the split
    noisy: Path | None = None  # file of noisy and clean sentences, in place of split and text
    limit: int | None = None
    chains: int = 2  # codes per sentence
    seed: int = 0  # of noise and chains
    batch_size: int = 64
    data_dir: Path = Path("data")
    write: Path | None = None  # file to write the noisy sentences to


class NoisyRecon(NamedTuple):
    """Figures of one run: a row of the paper's table."""

    run: str
    method: str
    data: str  # name of the data
    total: int  # sentences of the data, measured or not
    noise: str  # kind of noise, or the file that it came from
    counts: tuple[int, ...]  # numbers of changes k, beginning with 0
    recon: list[Estimate]  # −log p(x|z) in nats per sentence, for each k
    increase: list[Estimate]  # over k = 0, paired by sentence, for each k
    changed: list[float]  # share of sentences that differ from the clean ones, for each k
    short: list[int | None]  # sentences too short for k changes, which have fewer; for each k
    permuted: Estimate | None  # recon with another sentence's code, minus recon: the most that z can lose
    notes: list[str]


class Measured(NamedTuple):
    """Figures of the runs that were measured, and notes on the others."""

    runs: list[NoisyRecon]
    notes: list[str]  # one line for each run that was given twice or has no z


class Sentences(NamedTuple):
    """Clean sentences in a model's vocabulary, and their noisy versions."""

    split: Split
    places: Indices  # of the sentences in the split
    keys: Indices  # keys of their chains' noise
    data: str
    noisy: NoisyText


def losses_of(
    model: TrainedModel, clean: Sentences, request: Request, finished: FinishedBatches, report: Report
) -> dict[str, Array]:
    """Measure −log p(x|z) of each clean sentence, in nats, averaged over its chains.

    Returns:
        `recon` [sentences, 1 + versions], with z of the clean sentence first, then of each noisy version; and, for
        two or more sentences, `permuted` [sentences], with z of another clean sentence.

    Raises:
        NumericalError: A loss is not finite.
    """
    method, seed, like = model.method, request.seed, model.generator.output_bias
    cut = ~clean.split.ended[clean.places]
    versions = [without_ends(model.split(texts), cut) for texts in clean.noisy.noisy.values()]
    parts = evaluation_batches(clean.split.lengths[clean.places], request.batch_size)

    def conditional(split: Split, places: Indices, part: Indices) -> Conditional:
        keys = torch.from_numpy(clean.keys[part])
        return method.conditional(collate(split, places)._replace(examples=keys).to(model.device))

    def infer(part: Indices) -> dict[str, torch.Tensor]:
        """Return codes of the clean sentences, and losses with the codes of each version, from the same noise."""
        own = conditional(clean.split, clean.places[part], part)
        codes = method.posterior(own, seed, request.chains)
        losses = [-own.log_likelihood(codes).mean(0)]
        for version in versions:
            z = method.posterior(conditional(version, part, part), seed, request.chains)
            losses.append(-own.log_likelihood(z).mean(0))
        return {"recon": torch.stack(losses, 1), "codes": codes.transpose(0, 1)}

    rows = measured_batches("noisy reconstruction", parts, infer, report, finished)
    codes = rows.pop("codes")
    if len(codes) > 1:
        others = codes[derangement(len(codes), seed)]

        def permuted(part: Indices) -> dict[str, torch.Tensor]:
            z = torch.from_numpy(others[part]).to(like.device, like.dtype).transpose(0, 1)
            own = conditional(clean.split, clean.places[part], part)
            return {"permuted": -own.log_likelihood(z).mean(0)}

        rows |= measured_batches("permuted codes", parts, permuted, report, finished)
    return rows


def noisy_recon(checkpoints: Sequence[Path], request: Request, device: str, report: Report) -> Measured:
    """Measure each checkpoint on the same noisy sentences; models without z are left out.

    The chains use the same noise for every k, so that an increase over k = 0 is due to the changed words alone.

    Raises:
        UsageError: The kind of noise is unknown, k is too large, or no model has z.
        DataError: As in `evaluate` and `read_noisy`.
        NumericalError: A loss is not finite.
    """
    check_kind(request.kind)
    counts = (0, *sorted({*(COUNTS if request.counts is None else request.counts)} - {0}))
    if counts[-1] > MOST:
        raise UsageError(f"k is {counts[-1]}; give at most {MOST}")
    paths, again = each_once(checkpoints)
    models = [load_hashed(path, device) for path in paths]
    able = [model for model in models if model.latent]
    if not able:
        models[0].require_latent("infer codes of noisy sentences")
    names = dict(zip((model.path for model in models), run_names(paths), strict=True))
    left_out = [f"{names[m.path]}: left out, as {m.method.name} has no z" for m in models if not m.latent]
    if request.text is None and request.noisy is None:
        require_one_corpus(able, "measure them one by one")
    text = read_text(request.text) if request.text else None
    noisy = read_noisy(request.noisy, request.counts, request.limit) if request.noisy else None
    models.clear()
    several, found, records = len(able) > 1, list[NoisyRecon](), list[FinishedBatches]()
    while able:  # popped, so that a measured model is freed
        model = able.pop(0)
        sentences = _sentences(model, request, counts, text, noisy)
        noisy = sentences.noisy
        if request.write is not None and not found:
            write_noisy(noisy, request.write)
        name = names[model.path]
        told = report_as(report, f"{name}: " if several else "")
        measured, finished = _measure(model, sentences, request, name, told)
        records.append(finished)
        if text is not None or request.noisy is not None:
            measured.notes.extend(reading_notes(model, noisy.clean))
        found.append(measured)
    # Removed only now, so that an interruption at a later model keeps the batches of the earlier ones.
    for finished in records:
        finished.remove()
    return Measured(found, [*again, *left_out])


def _sentences(
    model: TrainedModel, request: Request, counts: Sequence[int], text: Text | None, noisy: NoisyText | None
) -> Sentences:
    """Return the clean sentences for a model, and the noisy ones, which are made on the first call."""
    if request.noisy is not None and noisy is not None:
        split = model.split(noisy.clean)
        return Sentences(split, np.arange(len(split)), noisy.indices, request.noisy.name, noisy)
    chosen = choose_sentences(model, request.split, text, request.limit, request.data_dir)
    if noisy is None:
        texts = text.lines if text is not None else model.texts(chosen.split, range(len(chosen.split)))
        noisy = make_noisy(texts, chosen.examples, request.kind, counts, request.seed)
    return Sentences(chosen.split, chosen.examples, chosen.examples, chosen.data, noisy)


def _measure(
    model: HashedModel, sentences: Sentences, request: Request, name: str, report: Report
) -> tuple[NoisyRecon, FinishedBatches]:
    """Measure one run; batches finished by an interrupted measurement are reused, and returned."""
    split, places, keys, data, noisy = sentences
    counts = (0, *noisy.noisy)
    settings = ("noisy-recon", __version__, request.chains, request.seed, request.batch_size)
    chosen = (split.ids, split.offsets, places, keys)
    finished = FinishedBatches(model.path, model.content, *chosen, noisy.noisy, settings, model.arithmetic)
    try:
        rows = losses_of(model, sentences, request, finished, report)
    except NumericalError as error:
        raise NumericalError(f"{run_name(model.path)}: {error}") from error
    recon, notes = rows["recon"], list[str]()
    origin = (NATS, request.chains, model.method.posterior_name)
    permuted = None
    if "permuted" in rows:
        permuted = mean_estimate("permuted", rows["permuted"] - recon[:, 0], *origin)
        if ignores_z([permuted]):
            cost = f"{permuted.value:z.2f} ± {permuted.standard_error:.2f}"
            ignored = f"the generator ignores z, or nearly (another sentence's z costs {cost} nats)"
            notes.append(f"{ignored}: a flat row does not mean robustness")
    measured = NoisyRecon(
        run=name,
        method=model.method.name,
        data=data,
        total=len(split),
        noise=noisy.kind,
        counts=counts,
        recon=[mean_estimate("recon", column, *origin) for column in recon.T],
        increase=[mean_estimate("increase", column - recon[:, 0], *origin) for column in recon.T],
        changed=[noisy.changed(k) for k in counts],
        short=[0, *(None if noisy.short is None else noisy.short[k] for k in counts[1:])],
        permuted=permuted,
        notes=[*notes, *finished.notes()],
    )
    return measured, finished
