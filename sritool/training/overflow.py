"""Runs whose numbers are no longer finite: saving the last good state, and what to try next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sritool.errors import NumericalError
from sritool.runs.folder import LAST
from sritool.runs.stage import Stage, stage_of

if TYPE_CHECKING:
    from sritool.training.state import RunState


def overflow(state: RunState, what: str) -> NumericalError:
    """Return the error for an update that failed with `what`; save the state before it if that is finite."""
    if state.is_finite():
        state.save(LAST)  # otherwise the checkpoint saved earlier stays
    last, step = state.folder / LAST, state.position.step
    saved = f"the last good state is in {last}" if last.is_file() else "it has no good state to save"
    smaller = ["optimizer.learning_rate"]
    if step == 0:
        smaller.append("optimizer.initial_scale")
    if state.method.has_chain:
        smaller.insert(0 if "chain" in what else 1, "sampler.step_sizes")
    if state.config.method == "sa-vae":
        smaller.append("refinement.rate")
    what, _, _ = what.partition("; ")  # drop advice meant for a trained model
    return NumericalError(f"step {step}: {what}; {saved}; try a smaller --set {' or '.join(smaller)}")


def require_a_finite_validation(state: RunState) -> None:
    """Raise an error if a run was validated but has no best model.

    Raises:
        NumericalError: No figure of its validations was finite.
    """
    validated = any(stage_of(record) is Stage.METHOD for record in state.metrics)
    if validated and state.lacks_best():
        steps = " or sampler.step_sizes" if state.method.has_chain else ""
        raise NumericalError(
            f"no validation of this run was finite; its state is in {state.folder / LAST}; "
            f"try a smaller --set optimizer.learning_rate{steps}"
        )
