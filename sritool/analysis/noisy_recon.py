"""Reconstruction from noisy sentences: z is inferred from the noisy one, −log p(x|z) is of the clean one.

Source: Pang et al. 2021, section 4.2; Shen et al. 2020 have a like measure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sritool.analysis.noisy_losses import NoisyLosses, Sentences
from sritool.analysis.noisy_text import NoisyText, make_noisy, read_noisy, write_noisy
from sritool.data.noise import check_kind
from sritool.errors import NumericalError, UsageError
from sritool.evaluation.estimates import NATS
from sritool.evaluation.evaluate import require_one_corpus, run_name
from sritool.evaluation.evaluations import load_hashed
from sritool.evaluation.metrics import Estimate, mean_estimate
from sritool.evaluation.record import FinishedBatches
from sritool.evaluation.sentences import Text, choose_sentences, read_text
from sritool.runs.model import Report, TrainedModel
from sritool.training.validation import COLLAPSE_AFTER, collapse

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

VERSION = 1  # of what is kept of a run that was stopped
COUNTS = (0, 1, 2, 3, 4)
MOST = 1000


@dataclass(frozen=True)
class Request:
    """What to measure, and on what."""

    kind: str = "swap"
    counts: tuple[int, ...] | None = None  # of changes; None: COUNTS, or all that `noisy` has
    split: str = "test"
    text: Path | None = None  # a file or "-", in place of the split
    noisy: Path | None = None  # noisy sentences with their clean ones, in place of both
    limit: int | None = None
    chains: int = 2  # codes a sentence, as `evaluate` has it
    seed: int = 0  # of noise and chains
    batch_size: int = 64
    data_dir: Path = Path("data")
    write: Path | None = None  # where the noisy sentences go


class NoisyRecon(NamedTuple):
    """One run's figures: a row of the paper's table."""

    run: str
    method: str
    data: str  # what they were measured on
    total: int  # sentences there, whether or not all were measured
    noise: str  # its kind, or the file that it came from
    counts: tuple[int, ...]  # of changes, 0 the first
    recon: list[Estimate]  # −log p(x|z) a sentence, nats, for each of them
    increase: list[Estimate]  # over k = 0, paired by sentence
    changed: list[float]  # share of sentences that differ from the clean ones
    short: list[int | None]  # sentences without room for k changes, which have as many as they have room for
    permuted: Estimate | None  # recon with the code of another sentence less recon: the most that z can lose
    notes: list[str]


class Found(NamedTuple):
    """The runs that were measured, and which were not."""

    runs: list[NoisyRecon]
    left_out: list[str]  # a line for each run without z


def noisy_recon(checkpoints: Sequence[Path], request: Request, device: str, report: Report) -> Found:
    """Measure each checkpoint on the same noisy sentences; a model without z among several is left out.

    Every k has the same noise of the chain, so that its increase is the noise's alone.

    Raises: UsageError for unknown noise, or where no model has a z; DataError as `evaluate` and `read_noisy` have
            it; NumericalError if a loss is not finite.
    """
    check_kind(request.kind)
    counts = (0, *sorted({*(COUNTS if request.counts is None else request.counts)} - {0}))
    if counts[-1] > MOST:
        raise UsageError(f"k is {counts[-1]}; give {MOST} at most")
    models = [load_hashed(path, device) for path in checkpoints]
    able = [(model, content) for model, content in models if model.latent]
    if not able:
        models[0][0].require_latent("infer codes of noisy sentences")
    left_out = [
        f"{run_name(m.path)}: left out, as {m.method.name} has no z" for m, _ in models if not m.latent
    ]
    if request.text is None and request.noisy is None:
        require_one_corpus([model for model, _ in able], "measure")
    text = read_text(request.text) if request.text else None
    noisy = read_noisy(request.noisy, request.counts, request.limit) if request.noisy else None
    models.clear()
    several, found = len(able) > 1, list[NoisyRecon]()
    while able:  # each is let go when it is measured
        model, content = able.pop(0)
        sentences, noisy = _sentences(model, request, counts, text, noisy)
        if request.write is not None and not found:
            write_noisy(noisy, request.write)
        label = f"{run_name(model.path)}: " if several else ""
        found.append(_measure(model, content, sentences, noisy, request, label, report))
    return Found(found, left_out)


def _sentences(
    model: TrainedModel, request: Request, counts: Sequence[int], text: Text | None, noisy: NoisyText | None
) -> tuple[Sentences, NoisyText]:
    """The clean sentences of a model, and the noisy ones, made if they are not there yet."""
    if request.noisy is not None and noisy is not None:
        split = model.split(noisy.clean)
        places = np.arange(len(split))
        return Sentences(split, places, noisy.indices, request.noisy.name, len(split)), noisy
    chosen = choose_sentences(model, request.split, text, request.limit, request.data_dir)
    if noisy is None:
        if text is not None:
            texts = text.lines
        else:
            texts = [
                model.tokenizer.decode(chosen.split.targets(i).tolist()) for i in range(len(chosen.split))
            ]
        noisy = make_noisy(texts, chosen.examples, request.kind, counts, request.seed)
    return Sentences(chosen.split, chosen.examples, chosen.examples, chosen.data, len(chosen.split)), noisy


def _measure(
    model: TrainedModel,
    content: str,
    sentences: Sentences,
    noisy: NoisyText,
    request: Request,
    label: str,
    report: Report,
) -> NoisyRecon:
    """One run's row; batches that a stopped measurement finished are not done again."""
    counts, split, places = (0, *noisy.noisy), sentences.split, sentences.places
    settings = ("noisy-recon", VERSION, request.chains, request.seed, request.batch_size)
    kind = model.arithmetic
    chosen = (split.ids, split.offsets, places, sentences.keys)
    finished = FinishedBatches(model.path, content, *chosen, noisy.noisy, settings, kind)
    work = NoisyLosses(model, sentences, list(noisy.noisy.values()), request.chains, request.seed)
    try:
        rows = work.over(
            request.batch_size, finished, lambda stage, done, total: report(label + stage, done, total)
        )
    except NumericalError as error:
        raise NumericalError(f"{run_name(model.path)}: {error}") from error
    finished.remove()
    recon = rows["recon"]
    origin = (NATS, request.chains, model.method.posterior_name)
    permuted = None
    if "permuted" in rows:
        permuted = mean_estimate("permuted", rows["permuted"] - recon[:, 0], *origin)
    short = [0, *(None if noisy.short is None else noisy.short[k] for k in counts[1:])]
    return NoisyRecon(
        run_name(model.path),
        model.method.name,
        sentences.data,
        sentences.total,
        noisy.kind,
        counts,
        [mean_estimate("recon", column, *origin) for column in recon.T],
        [mean_estimate("increase", column - recon[:, 0], *origin) for column in recon.T],
        [noisy.changed(k) for k in counts],
        short,
        permuted,
        list(_notes(permuted, finished)),
    )


def _notes(permuted: Estimate | None, finished: FinishedBatches) -> Iterator[str]:
    if permuted is not None and collapse({"permuted": permuted}, COLLAPSE_AFTER):
        yield (
            f"the generator ignores z (another sentence's z costs {permuted.value:z.2f} ± "
            f"{permuted.standard_error:.2f} nats), so that its row is flat: that is no robustness"
        )
    yield from finished.notes()
