"""What becomes of a run whose numbers are no longer finite: what is kept, and what is said."""

from __future__ import annotations

from sritool.errors import NumericalError
from sritool.runs.folder import LAST
from sritool.training.state import RunState


def has_overflowed(state: RunState) -> bool:
    """Whether a parameter is not finite."""
    return not all(bool(parameter.isfinite().all()) for parameter in state.method.modules.parameters())


def save_last(state: RunState) -> None:
    """Write last.pt, over no good one. Raises: NumericalError if a parameter is not finite."""
    if has_overflowed(state):
        raise overflow(state, "a parameter is not finite")
    state.save(LAST)


def overflow(state: RunState, what: str) -> NumericalError:
    """The error to raise when `what` happened to an update; the state before it is in last.pt if it is good."""
    last, step = state.folder / LAST, state.position.step
    if not has_overflowed(state):
        state.save(LAST)  # else what was saved before the parameters themselves overflowed stands
    kept = f"the last good state is in {last}" if last.is_file() else "it has no good state to save"
    smaller = ["optimizer.learning_rate"]
    if step == 0:
        smaller.append("optimizer.initial_scale")
    if state.config.method == "sri":
        smaller.insert(0 if "chain" in what else 1, "sampler.step_sizes")
    if state.config.method == "sa-vae":
        smaller.append("refinement.rate")
    advice = f"try a smaller --set {' or '.join(smaller)}"
    what, _, _ = what.partition("; ")  # without advice for a model that is trained already
    return NumericalError(f"step {step}: {what}; {kept}; {advice}")


def never_finite(state: RunState) -> NumericalError | None:
    """The error to end with where the run was validated and no figure was finite, so that no model is the best."""
    position = state.position
    validated = [record for record in state.metrics if not record.get("pretraining")]
    if position.pretraining or position.best != float("inf") or not validated:
        return None
    return NumericalError(
        f"no validation of this run was finite; its state is in {state.folder / LAST}; "
        "try a smaller --set optimizer.learning_rate, or smaller step sizes"
    )
