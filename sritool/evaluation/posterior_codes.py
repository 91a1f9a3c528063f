"""Codes of many sentences, kept beside the checkpoint so that no sentence is encoded twice.

They are a `Record`, `latents/KEY.jsonl`: KEY stands for the model's weights and settings and for how codes are drawn.
A line holds a batch, written as soon as it is done: digests of its sentences (of their words and the key of their
noise), and their codes. So a killed run can continue, and two runs may write at once. The folder may be deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from sritool._version import __version__
from sritool.config.values import plain
from sritool.data.batches import Batch, collate, evaluation_batches
from sritool.data.sampling import Indices
from sritool.data.split import Split
from sritool.errors import UsageError
from sritool.evaluation.batches import over_batches
from sritool.evaluation.record import VERSION, Record, fingerprint, packed, unpacked
from sritool.methods.sri import ShortRunInference
from sritool.runs.bundled import records_folder
from sritool.runs.model import Floats, Report, TrainedModel

FOLDER = "latents"
KEPT_FROM = 32  # sentences to encode: fewer are faster to encode again than to look up
_DIGEST = 16  # bytes that identify a sentence and its noise


class CodeSettings(NamedTuple):
    """How a sentence's codes are drawn from q(z|x)."""

    chains: int | None = None  # independent draws; None: the method's own mean of q(z|x)
    mean: bool = True  # of the draws; an encoder without chains always gives its own mean
    seed: int = 0
    dropout: bool = False  # in the chain's steps, as in training; no effect on an encoder

    @property
    def rows(self) -> int:
        """Codes per sentence."""
        return 1 if self.mean or self.chains is None else self.chains


def codes_of_split(
    model: TrainedModel,
    split: Split,
    examples: Indices,
    how: CodeSettings = CodeSettings(),  # noqa: B008 - a named tuple is immutable
    batch_size: int = 64,
    report: Report = lambda *_: None,
    keep: bool = True,
) -> Floats:
    """Draw codes of these sentences [n] of a split; each one's noise is keyed by its index there.

    With `keep`, codes on the disk are used, and new ones are kept there.

    Returns:
        Codes in the order of `examples`. Shape [n, how.rows, latent], float32.

    Raises:
        UsageError: The model has no z, chains is below 1, or dropout is asked for without chains.
        NumericalError: A code is not finite.
    """
    model.require_latent("encode")
    if how.chains is not None and how.chains < 1:
        raise UsageError(f"chains is {how.chains}; give at least 1")
    if how.dropout and how.chains is None:
        raise UsageError("dropout is drawn anew for each chain; give the number of chains too, with --chains")
    codes = np.empty((len(examples), how.rows, model.latent), dtype=np.float32)
    digests = [_digest(split, int(index)) for index in examples]
    kept = _record(model, how) if keep else None
    known = _known(kept, set(digests), codes.shape[1:]) if kept is not None else {}
    for row, digest in enumerate(digests):
        if digest in known:
            codes[row] = known[digest]
    missing = np.array([row for row, digest in enumerate(digests) if digest not in known], dtype=np.int64)
    before = len(examples) - len(missing)

    def draw(part: Indices) -> dict[str, torch.Tensor]:
        return {"code": _draw(model, collate(split, examples[missing[part]]).to(model.device), how)}

    def progress(label: str, done: int, _: int) -> None:
        report(label, before + done, len(examples))

    batches = evaluation_batches(split.lengths[examples[missing]], batch_size)
    for part, found in over_batches("encoding", batches, draw, progress):
        rows = missing[part]
        codes[rows] = found["code"]
        if kept is not None and len(missing) >= KEPT_FROM:
            _keep(kept, [digests[row] for row in rows], codes[rows])
    return codes


def codes_of_text(
    model: TrainedModel,
    sentences: Sequence[str],
    how: CodeSettings,
    batch_size: int = 64,
    report: Report = lambda *_: None,
) -> Floats:
    """Draw codes of sentences given as text, without keeping them on the disk: [n, how.rows, latent].

    Raises: UsageError if the model has no z, or chains is below 1.
    """
    split = model.split(sentences)
    return codes_of_split(model, split, np.arange(len(split)), how, batch_size, report, keep=False)


def _draw(model: TrainedModel, batch: Batch, how: CodeSettings) -> torch.Tensor:
    """Codes of a batch: [batch, rows, latent]."""
    method, conditional = model.method, model.method.conditional(batch)
    if how.chains is None or (how.mean and method.has_exact_mean):
        return method.posterior_mean(conditional, how.seed)[:, None]
    drawn = method.posterior
    if how.dropout and isinstance(method, ShortRunInference):
        drawn = method.posterior_under_dropout
    codes = drawn(conditional, how.seed, how.chains)  # [chains, batch, latent]
    return codes.mean(0)[:, None] if how.mean else codes.transpose(0, 1)


def _digest(split: Split, index: int) -> bytes:
    """Digest of a sentence and the key of its noise."""
    words = hashlib.blake2b(index.to_bytes(8, "little"), digest_size=_DIGEST)
    words.update(np.ascontiguousarray(split.targets(index)).tobytes())
    return words.digest()


def _record(model: TrainedModel, how: CodeSettings) -> Record:
    weights = [
        (name, tuple(tensor.shape), hashlib.sha256(tensor.cpu().numpy().tobytes()).hexdigest())
        for name, tensor in model.method.modules.state_dict().items()
    ]
    config, refinement = model.checkpoint.config, model.method.refinement
    used = [plain(config.sampler), refinement]
    used += [plain(config.refinement)] if refinement else []
    used += [plain(config.generator)] if how.dropout else []  # its rates
    kind = (model.method.name, *model.arithmetic)
    key = fingerprint(VERSION, __version__, weights, used, kind, tuple(how))
    return Record(records_folder(model.path) / FOLDER / f"{key[:24]}.jsonl")


def _known(kept: Record, wanted: set[bytes], shape: tuple[int, ...]) -> dict[bytes, Floats]:
    """Codes on record of these sentences, each of this shape, by the sentence's digest."""

    def decode(entry: dict[str, Any]) -> list[tuple[bytes, Floats]]:
        arrays = unpacked(entry)
        digests = [row.tobytes() for row in arrays["digests"]]
        codes = arrays["codes"].astype(np.float32).reshape(len(digests), *shape)
        return [pair for pair in zip(digests, codes, strict=True) if pair[0] in wanted]

    return {digest: codes for batch in kept.read(decode) for digest, codes in batch}


def _keep(kept: Record, digests: list[bytes], codes: Floats) -> None:
    rows = np.frombuffer(b"".join(digests), np.uint8).reshape(len(digests), _DIGEST)
    with contextlib.suppress(OSError):
        kept.path.parent.mkdir(exist_ok=True)
    kept.append(packed({"digests": rows, "codes": codes}))
