"""Options of commands that train and measure by a plan of plain commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sritool.cli.options.values import duration
from sritool.cli.signatures import in_panel

plan_option = in_panel("Plan")
work_option = in_panel("Working it off")


@dataclass(frozen=True)
class PlanOptions:
    """What all runs of a plan have, and how it is worked off.

    Attributes:
        recipe: Recipe of all runs, as in train: a name, or the path of one's own.
        assignments: A setting of all runs, as in train; repeatable.
        dry_run: Print the plan, with its commands and the time of each here, and exit.
        budget: Time for the whole command: 90s, 9m or 8h. It stops in time; the same command goes on.
    """

    recipe: Annotated[str, plan_option(metavar="NAME")] = "ours"
    assignments: Annotated[list[str] | None, plan_option("--set", metavar="KEY=VALUE")] = None
    dry_run: Annotated[bool, work_option("--dry-run")] = False
    budget: Annotated[float | None, work_option(parser=duration, metavar="TIME")] = None
