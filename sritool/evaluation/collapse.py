"""Whether the generator ignores z: one verdict, for every command that shows something of z."""

from __future__ import annotations

import math
from collections.abc import Iterable

from sritool.evaluation.metrics import Estimate
from sritool.runs.checkpoint import Checkpoint

COLLAPSE_NATS = 0.1
_LARGEST_ERROR = 0.2  # nats: of a figure that is less sure nothing follows
_BOUND = f"permuted is below {COLLAPSE_NATS} nats, or within two standard errors of that"
IGNORES_Z = f"the generator ignores z, or nearly: {_BOUND}"


def costs_nothing(permuted: float, error: float) -> bool:
    """Tell whether another sentence's z, at this cost in nats a sentence with its error, is as good as one's own."""
    known = math.isfinite(permuted) and error <= _LARGEST_ERROR  # which NaN is not
    return known and permuted < COLLAPSE_NATS + 2 * error


def ignores_z(estimates: Iterable[Estimate]) -> bool:
    """Tell whether the generator ignores z, by `permuted` among these figures; not if it was not measured."""
    found = (e for e in estimates if e.metric == "permuted" and e.draws)  # without z there are no draws
    return any(costs_nothing(e.value, e.standard_error) for e in found)


def has_collapsed(checkpoint: Checkpoint) -> bool:
    """Tell whether the generator ignored z when it was last validated, by the checkpoint's own record."""
    last = checkpoint.metrics[-1] if checkpoint.metrics else {}
    if "permuted" not in last or not checkpoint.config.generator.latent:
        return False
    value, error = last["permuted"], last.get("permuted se")
    if not isinstance(value, int | float) or not isinstance(error, int | float):
        return False
    return costs_nothing(value, error)


def collapse_note(checkpoint: Checkpoint, estimates: Iterable[Estimate] = ()) -> str:
    """Return the verdict in one line, "" where the generator uses z.

    Where `permuted` is not among the estimates measured now, the checkpoint's last validation counts.
    """
    measured = [estimate for estimate in estimates if estimate.metric == "permuted"]
    if measured:
        return IGNORES_Z if ignores_z(measured) else ""
    return f"{IGNORES_Z}, when it was last validated" if has_collapsed(checkpoint) else ""
