"""When a run ends before its plan, as its validations no longer get better."""

from __future__ import annotations

from sritool.config.settings import RunConfig
from sritool.methods.base import Method
from sritool.training.position import Position


def ends_early(method: Method, config: RunConfig, planned: int, position: Position) -> str | None:
    """Return why a run, or its present stage, ends before its plan: "halvings" or "early stop"; None: it goes on.

    It ends when the learning rate was halved as often as it may be, or when there was no better validation for
    `patience` epochs and all schedules have ended.

    What the method's own schedules change, such as the weight of the KL, gets `patience` epochs to show its effect
    after their end. A learning rate that falls until the end of the plan would switch early stopping off. So it
    delays the stop for `patience` epochs after it begins to fall, and no longer.

    Args:
        method: Its schedules count.
        config: Its patience and the decay of its learning rate count.
        planned: Epochs of the stage.
        position: Where it is.
    """
    plan, patience = config.optimizer, config.training.patience
    if 0 < plan.halvings <= position.halvings:
        return "halvings"
    decay = plan.decay
    settled = decay.settled_at * planned
    if decay.start > decay.end:
        settled = min(settled, decay.last_begin * planned + patience)
    settled = max(settled, plan.warmup * planned)
    own = 0.0 if method.pretraining else method.settled_at()
    if own > 0:
        settled = max(settled, min(planned, own * planned + patience))
    is_over = 0 < patience <= position.epochs_without_better and position.epoch >= settled
    return "early stop" if is_over else None
