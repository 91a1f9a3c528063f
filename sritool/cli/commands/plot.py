"""`sritool plot KIND`: pictures. A kind is a module of `sritool.cli.plots`, a command with options of its own."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from sritool.errors import suggestion

RECORDED, MEASURED, LATENT = "Of what is on record", "Measured, or from the record", "Of the latent space"

KINDS: dict[str, str] = {
    "curves": RECORDED,
    "frontier": MEASURED,
    "ppl-draws": MEASURED,
    "noisy-recon": MEASURED,
    "tune-step": MEASURED,
    "latent": LATENT,
    "traversal": LATENT,
}
"""Kind of picture -> the heading it stands under in `sritool plot --help`, in the order shown."""


class KindGroup(TyperGroup):
    """Builds the command of a kind when it is the one to run."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return list(KINDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        # What the list of kinds and completion show; the options are built of the one to run.
        return build_kind(cmd_name, summary_only=True) if cmd_name in KINDS else None

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        name = args[0]
        if name in KINDS:
            return name, build_kind(name), args[1:]
        if not name.startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"no kind of picture {name!r}{suggestion(name, KINDS)}")
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        return super().parse_args(ctx, args or ([] if ctx.resilient_parsing else ["--help"]))


def build_kind(name: str, summary_only: bool = False) -> Any:
    """The command of a kind, from the function named like its module."""
    from sritool.cli.app import command_of

    function_name = name.replace("-", "_")
    module = importlib.import_module(f"sritool.cli.plots.{function_name}")
    function: Callable[..., None] = getattr(module, function_name)
    return command_of(name, function, KINDS[name], summary_only)


def plot() -> None:
    """Draw a picture: training curves, frontier, likelihood against draws, latent space and others.

    sritool plot curves runs/tiny-sri runs/tiny-vae-anneal -o curves.png

    sritool plot frontier --show-data | column -t

    The file's ending says the format: .png, .svg or .pdf; without -o it is KIND.png in the current folder.
    --show-data prints the numbers that are drawn, and draws only if -o is given as well. What each kind shows and
    which options it has is in its own help: sritool plot curves --help.
    """


def build_group(panel: str, help_text: str, settings: dict[str, Any]) -> Any:
    """The command `plot` with its kinds below it.

    Args:
        panel: The heading that it stands under in `sritool --help`.
        help_text: Its help.
        settings: Of the parser's context.
    """
    group = typer.Typer(
        name="plot",
        cls=KindGroup,
        subcommand_metavar="KIND [ARGS]...",
        context_settings=settings,
        rich_markup_mode="rich",
        help=help_text,
        add_completion=False,
    )
    group.callback()(plot)
    command: Any = typer.main.get_command(group)
    command.rich_help_panel = panel
    return command
