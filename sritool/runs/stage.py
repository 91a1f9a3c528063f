"""The stages of a plan, by which the records of a run are told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any


class Stage(StrEnum):
    """What epochs are of: for some methods and plans something else at first, then the method itself."""

    AUTOENCODER = "autoencoder"
    LANGUAGE_MODEL = "language model"
    METHOD = ""

    def record(self) -> dict[str, str]:
        """What a record says of it: nothing where it is of the method itself."""
        return {"stage": str(self)} if self else {}


def stage_of(record: Mapping[str, Any]) -> Stage:
    """Return the stage that a record of metrics.jsonl is of."""
    return next((stage for stage in Stage if stage == record.get("stage")), Stage.METHOD)


def of_latest_stage(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records of the stage that came furthest; none of an autoencoder."""
    stages = [stage_of(record) for record in records]
    wanted = Stage.METHOD if Stage.METHOD in stages else Stage.LANGUAGE_MODEL
    return [record for record, stage in zip(records, stages, strict=True) if stage is wanted]
