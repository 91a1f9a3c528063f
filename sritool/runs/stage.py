"""The stages of a training plan, and the records of each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any


class Stage(StrEnum):
    """What an epoch trains: first another model, for some methods and plans, then the method itself."""

    AUTOENCODER = "autoencoder"
    LANGUAGE_MODEL = "language model"
    METHOD = ""

    def record(self) -> dict[str, str]:
        """The entry for a record; empty for the method itself."""
        return {"stage": str(self)} if self else {}


def stage_of(record: Mapping[str, Any]) -> Stage:
    """Return the stage of a record of metrics.jsonl."""
    return next((stage for stage in Stage if stage == record.get("stage")), Stage.METHOD)


def of_latest_stage(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records of the latest stage; none if only an autoencoder has been trained."""
    stages = [stage_of(record) for record in records]
    wanted = Stage.METHOD if Stage.METHOD in stages else Stage.LANGUAGE_MODEL
    return [record for record, stage in zip(records, stages, strict=True) if stage is wanted]
