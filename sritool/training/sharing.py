"""Training of one run by several processes: they have the same state, and share the gradient of each batch.

The first process creates the state, and the others copy it. Each takes its part of a batch; with `accumulate` it
takes that in smaller parts, one after another. The results of the parts are added up in one buffer, which is then
summed over all processes: gradients, the sums of the method's running statistics, and the reasons to end a run. So
only the order of sums depends on the number of parts. Of an embedding's gradient the buffer holds only the rows of
words in the batch, as the other rows are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from sritool.config.settings import RunConfig
from sritool.data.batches import Batch
from sritool.data.store import Corpus
from sritool.data.tokenizer import UNK
from sritool.errors import NumericalError, UsageError
from sritool.methods.base import Clock, Method
from sritool.model.workspace import Workspace
from sritool.processes import Processes, part_of
from sritool.runs.checkpoint import Checkpoint, from_bytes, to_bytes
from sritool.training.freezing import without_gradient
from sritool.training.state import RunState

_SIGNALS = 64  # signal numbers are smaller


class Asked(NamedTuple):
    """Reasons to end the run, the same in all processes."""

    signal: int | None = None
    out_of_time: bool = False


def check_parts(config: RunConfig) -> None:
    """Check that the method can take a batch in parts, if `accumulate` asks for it.

    Raises:
        UsageError: The method needs the whole batch at once.
    """
    refinement = config.refinement
    if config.training.accumulate > 1 and config.method == "sa-vae" and refinement.clip_over == "batch":
        raise UsageError(
            "refinement.clip_over=batch bounds the gradient of a whole batch at each step of refinement, so that "
            "its parts cannot come one after another; leave --accumulate out, or clip over sentences"
        )


class BatchGradients:
    """Writes the gradient of a whole batch to `.grad`, the same in every process.

    Attributes:
        method: The method whose gradients are computed.
        asked: Reasons to end the run, exchanged with the last gradients.
    """

    def __init__(self, method: Method, config: RunConfig, device: torch.device, processes: Processes) -> None:
        """Share batches among processes."""
        self.method, self._config, self._device, self._processes = method, config, device, processes
        self._workspace = Workspace()
        # With tied embeddings, every row has a gradient.
        tied = {"generator.embedding"} if config.generator.tied_embeddings else set()
        self._embeddings = {"generator.embedding", "encoder.embedding"} - tied
        self.asked = Asked()

    def compute(self, batch: Batch, clock: Clock, out_of_time: bool) -> dict[str, float]:
        """Write the gradients of a batch.

        Args:
            batch: The whole batch, on the CPU.
            clock: Where in the plan the update is.
            out_of_time: Whether the first process has no time for another update; the others learn it from this.

        Returns:
            The sums that `Method.gradients` returns, over the whole batch.

        Raises:
            NumericalError: A chain explodes in any process.
            PeerLostError: A process has ended or does not answer.
        """
        whole = batch.to(self._device)
        if self._processes.size == 1 and self._config.training.accumulate == 1:
            sums = self.method.gradients(whole, clock)
            without_gradient(self.method.modules, self._config.optimizer.freeze)
            return sums
        votes = [0.0] * (_SIGNALS + 2)  # one per signal, one for an error, one for the time
        signal = self._processes.signal()
        if signal is not None:
            votes[signal] = 1.0
        votes[-1] = float(out_of_time and self._processes.is_first)
        error = None
        added: Tensor | None = None
        for part in self._parts(whole):
            try:
                names, tensors = self.of_part(part, clock, whole)
            except NumericalError as failed:  # the others still wait for the sum
                error, votes[_SIGNALS] = failed, 1.0
                names, tensors = self.of_part(whole.part(slice(0)), clock, whole)
            added = self._add(tensors, added)
            if error is not None:
                break
        assert added is not None
        return self._together(whole, names, tensors, added, votes, error)

    def _parts(self, whole: Batch) -> Sequence[Batch]:
        """The parts of this process; one part without sentences if there are none for it."""
        own, number = whole.part(self._processes.share(whole.size)), self._config.training.accumulate
        number = max(1, min(number, own.size))
        return [own.part(part_of(own.size, k, number)) for k in range(number)]

    def of_part(self, part: Batch, clock: Clock, whole: Batch) -> tuple[list[str], list[Tensor]]:
        """Return the results of a part: names of the sums; and gradients, statistics, and the sums in one tensor."""
        sums = self.method.gradients(part, clock, whole)
        without_gradient(self.method.modules, self._config.optimizer.freeze)
        rows = _words(whole)
        gradients = [
            gradient[rows] if name in self._embeddings else gradient for name, gradient in self._gradients()
        ]
        share = part.size / whole.size
        numbers = [
            value * (share if name.startswith("mean ") else 1.0) if part.size else 0.0
            for name, value in sums.items()
        ]
        summed = self.method.generator.output_bias.new_tensor(numbers)
        return list(sums), [*gradients, *self.method.statistics(), summed]

    def _gradients(self) -> list[tuple[str, Tensor]]:
        return [(name, p.grad) for name, p in self.method.modules.named_parameters() if p.grad is not None]

    def _add(self, tensors: Sequence[Tensor], added: Tensor | None) -> Tensor:
        """Add to the sum so far, in one flat buffer with room for the votes at its end."""
        size = sum(tensor.numel() for tensor in tensors) + _SIGNALS + 2
        flat = self._workspace.take("sums", (size,), tensors[0])
        for view, tensor in zip(_views(flat, tensors), tensors, strict=True):
            if added is None:
                view.copy_(tensor)
            else:
                view.add_(tensor)
        return flat

    def _together(
        self,
        whole: Batch,
        names: Sequence[str],
        tensors: Sequence[Tensor],
        flat: Tensor,
        votes: list[float],
        error: NumericalError | None,
    ) -> dict[str, float]:
        """Sum over the processes, and replace the method's own gradients and statistics by the sums."""
        flat[-len(votes) :] = flat.new_tensor(votes)
        self._processes.sum_(flat)
        *views, sums = _views(flat, tensors)
        totals = torch.cat((sums, flat[-len(votes) :])).tolist()
        votes = totals[len(names) :]
        if votes[_SIGNALS]:
            messages = self._processes.gather(None if error is None else str(error))
            raise error or NumericalError(next(line for line in messages if line is not None))
        signal = next((number for number in range(_SIGNALS) if votes[number]), None)
        self.asked = Asked(signal, bool(votes[-1]))
        gradients, rows = self._gradients(), _words(whole)
        for (name, gradient), total in zip(gradients, views, strict=False):
            if name in self._embeddings:
                gradient[rows] = total
            else:
                self.method.modules.get_parameter(name).grad = total
        for statistic, total in zip(self.method.statistics(), views[len(gradients) :], strict=True):
            statistic.copy_(total)
        return dict(zip(names, totals, strict=False))


def _words(batch: Batch) -> Tensor:
    """Ids of all words in a batch and of <unk>, which replaces words under word dropout; no duplicates: [any]."""
    unknown = batch.inputs.new_tensor([UNK])
    words: Tensor = torch.unique(torch.cat((batch.inputs.flatten(), batch.targets.flatten(), unknown)))
    return words


def _views(flat: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Views of a flat buffer with the shapes of these tensors."""
    sizes = [tensor.numel() for tensor in tensors]
    parts = flat[: sum(sizes)].split(sizes)
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def state_of_all(
    corpus: Corpus,
    config: RunConfig,
    folder: Path,
    device: torch.device,
    resume: Checkpoint | None,
    processes: Processes,
) -> RunState:
    """Begin or resume a run in all processes: the first creates its state, the others copy it.

    Raises:
        DataError: The run to resume was trained on another corpus, or a process has another corpus of this name.
        CheckpointError: The checkpoint to resume is damaged.
    """
    if processes.is_first:
        created: list[RunState] = []
        processes.first(
            lambda: created.append(RunState(corpus, config, folder, device, resume, processes)), patient=True
        )
        share(created[0])
        return created[0]
    processes.first(lambda: None, patient=True)
    given = from_bytes(processes.broadcast_bytes(b""))
    return RunState(corpus, given.config, folder, device, given, processes)


def share(state: RunState) -> None:
    """Copy the first process' state to all processes; every process must call this."""
    processes = state.processes
    if processes.size == 1:
        return
    if processes.is_first:
        processes.broadcast_bytes(to_bytes(state.checkpoint(resumable=True)))
    else:
        state.take_over(from_bytes(processes.broadcast_bytes(b"")))
