"""Codes of many sentences, kept beside the checkpoint so that no sentence is encoded twice.

`latents/KEY.codes` beside the checkpoint: KEY stands for the model's weights and settings and for how codes are
drawn; in it a block a batch, appended in one write as soon as it is done: what tells a sentence (its words and its
noise), and its codes. Blocks are whole or skipped, so that a killed run goes on, and two runs may write at once. The
folder may be deleted.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sritool._version import __version__
from sritool.config.values import plain
from sritool.data.batches import Batch, collate, evaluation_batches
from sritool.data.store import Split
from sritool.errors import NumericalError, UsageError
from sritool.evaluation.unfinished import fingerprint
from sritool.files import append
from sritool.runs.model import Floats, Report, TrainedModel

FOLDER = "latents"
VERSION = 1  # of the file, and of what codes mean: goes up whenever old ones must not be read
KEPT_FROM = 32  # sentences to encode at once: fewer are done again sooner than looked up
_HEAD = struct.Struct("<4sII")  # mark, sentences, CRC-32 of what follows
_MARK = b"code"
_DIGEST = 16  # bytes that tell a sentence and its noise


class How(NamedTuple):
    """How a sentence's codes are drawn from q(z|x)."""

    chains: int = 5  # independent draws
    mean: bool = True  # their mean; of an encoder without chains its own mean, exactly
    seed: int = 0

    @property
    def rows(self) -> int:
        """Codes a sentence."""
        return 1 if self.mean else self.chains


def latents_of(
    model: TrainedModel,
    split: Split,
    examples: NDArray[np.int64],
    how: How = How(),  # noqa: B008 - a named tuple, nobody can change it
    batch_size: int = 64,
    report: Report | None = None,
    keep: bool = True,
) -> Floats:
    """Codes of these sentences of a split, the noise of each keyed by its index there.

    Args:    examples [n]: indices in the split; keep: look for codes on the disk, and keep new ones there.
    Returns: float32 [n, how.rows, latent], in the order of `examples`.
    Raises:  UsageError if the model has no z, or chains is below 1; NumericalError if a code is not finite.
    """
    model.require_latent("encode")
    if how.chains < 1:
        raise UsageError(f"chains is {how.chains}; give at least 1")
    codes = np.empty((len(examples), how.rows, model.latent), dtype=np.float32)
    digests = [_digest(split, int(index)) for index in examples]
    kept = _Kept(_file(model, how), how.rows * model.latent) if keep else None
    known = kept.read(set(digests)) if kept is not None else {}
    for row, digest in enumerate(digests):
        if digest in known:
            codes[row] = known[digest].reshape(codes.shape[1:])
    missing = np.array([row for row, digest in enumerate(digests) if digest not in known], dtype=np.int64)
    done, report = len(examples) - len(missing), report or (lambda *_: None)
    for part in evaluation_batches(split.lengths[examples[missing]], batch_size):
        report("encoding", done, len(examples))
        rows = missing[part]
        batch = collate(split, examples[rows]).to(model.device)
        found = _draw(model, batch, how).cpu().numpy()
        if not np.isfinite(found).all():
            raise NumericalError(
                "a code is not finite; take an earlier checkpoint, or smaller step sizes (sritool tune-step)"
            )
        codes[rows] = found
        done += len(rows)
        if kept is not None and len(missing) >= KEPT_FROM:
            kept.add([digests[row] for row in rows], found)
    report("encoding", done, len(examples))
    return codes


def codes_of(model: TrainedModel, sentences: Sequence[str], how: How, batch_size: int = 64) -> Floats:
    """Codes of sentences given as text, which are not kept on the disk: [n, how.rows, latent].

    Raises: UsageError if the model has no z, or chains is below 1.
    """
    model.require_latent("encode")
    split = model.split(sentences)
    return latents_of(model, split, np.arange(len(split)), how, batch_size, keep=False)


def _draw(model: TrainedModel, batch: Batch, how: How) -> torch.Tensor:
    """[batch, rows, latent]"""
    conditional = model.method.conditional(batch)
    if how.mean:
        return model.method.posterior_mean(conditional, how.seed, how.chains)[:, None]
    return model.method.posterior(conditional, how.seed, how.chains).transpose(0, 1)


def _digest(split: Split, index: int) -> bytes:
    """A sentence and the key of its noise."""
    words = hashlib.blake2b(index.to_bytes(8, "little"), digest_size=_DIGEST)
    words.update(np.ascontiguousarray(split.targets(index)).tobytes())
    return words.digest()


def _file(model: TrainedModel, how: How) -> Path:
    weights = [
        (name, tuple(tensor.shape), hashlib.sha256(tensor.cpu().numpy().tobytes()).hexdigest())
        for name, tensor in model.method.modules.state_dict().items()
    ]
    config, refinement = model.checkpoint.config, getattr(model.method, "refinement", None)
    used = (plain(config.sampler), refinement, *([plain(config.refinement)] if refinement else []))
    kind = (model.method.name, *model.arithmetic)
    key = fingerprint(VERSION, __version__, weights, used, kind, tuple(how))
    return model.path.with_name(FOLDER) / f"{key[:24]}.codes"


class _Kept:
    """Codes in a file; where nothing can be written nothing is kept."""

    def __init__(self, path: Path, width: int) -> None:
        self.path, self.width = path, width
        self._record = np.dtype([("digest", f"V{_DIGEST}"), ("codes", "<f4", (width,))])
        self._writable = True

    def read(self, wanted: set[bytes]) -> dict[bytes, Floats]:
        """The codes of these sentences that are there; a block that is damaged, or that a kill cut, is skipped."""
        try:
            data = self.path.read_bytes()
        except OSError:
            return {}
        found: dict[bytes, Floats] = {}
        begin = data.find(_MARK)
        while 0 <= begin <= len(data) - _HEAD.size:
            _, count, checksum = _HEAD.unpack_from(data, begin)
            end = begin + _HEAD.size + count * self._record.itemsize
            block = data[begin + _HEAD.size : end]
            if end > len(data) or zlib.crc32(block) != checksum:
                begin = data.find(_MARK, begin + 1)  # another process may have appended behind it
                continue
            for record in np.frombuffer(block, self._record):
                digest = record["digest"].tobytes()
                if digest in wanted:
                    found[digest] = record["codes"]
            begin = data.find(_MARK, end)
        return found

    def add(self, digests: list[bytes], codes: Floats) -> None:
        """Append a block in one write."""
        if not self._writable:
            return
        block = np.empty(len(digests), self._record)
        block["digest"] = np.frombuffer(b"".join(digests), f"V{_DIGEST}")
        block["codes"] = codes.reshape(len(digests), self.width)
        content = block.tobytes()
        try:
            self.path.parent.mkdir(exist_ok=True)
            block_head = _HEAD.pack(_MARK, len(digests), zlib.crc32(content))
            append(self.path, block_head + content, lines=False, sync=False)
        except OSError:
            self._writable = False
