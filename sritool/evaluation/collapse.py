"""Whether the generator ignores z: one verdict for all commands that show figures of z."""

from __future__ import annotations

import math
from collections.abc import Iterable

from sritool.evaluation.metrics import Estimate
from sritool.runs.checkpoint import Checkpoint

COLLAPSE_NATS = 0.1
_LARGEST_ERROR = 0.2  # nats: nothing follows from a less certain figure
_BOUND = f"permuted is below {COLLAPSE_NATS} nats, or within two standard errors of that"
IGNORES_Z = f"the generator ignores z, or nearly: {_BOUND}"


def costs_nothing(permuted: float, error: float) -> bool:
    """Whether another sentence's z is as good as one's own, by `permuted` in nats per sentence and its error."""
    known = math.isfinite(permuted) and error <= _LARGEST_ERROR  # false for NaN
    return known and permuted < COLLAPSE_NATS + 2 * error


def ignores_z(estimates: Iterable[Estimate]) -> bool:
    """Whether the generator ignores z, by `permuted` among these estimates; False if it was not measured."""
    found = (e for e in estimates if e.metric == "permuted" and e.draws)  # without z there are no draws
    return any(costs_nothing(e.value, e.standard_error) for e in found)


def has_collapsed(checkpoint: Checkpoint) -> bool:
    """Whether the generator ignored z at the last validation, by the checkpoint's own record."""
    last = checkpoint.metrics[-1] if checkpoint.metrics else {}
    if "permuted" not in last or not checkpoint.config.generator.latent:
        return False
    value, error = last["permuted"], last.get("permuted se")
    if not isinstance(value, int | float) or not isinstance(error, int | float):
        return False
    return costs_nothing(value, error)


def collapse_note(checkpoint: Checkpoint, estimates: Iterable[Estimate] = ()) -> str:
    """Return the verdict in one line; "" if the generator uses z.

    If `permuted` is not among the estimates, the checkpoint's last validation counts.
    """
    measured = [estimate for estimate in estimates if estimate.metric == "permuted"]
    if measured:
        return IGNORES_Z if ignores_z(measured) else ""
    return f"{IGNORES_Z}, when it was last validated" if has_collapsed(checkpoint) else ""
